"""The Elasticsearch adapter over HTTP and HTTPS, against a protocol double that fails when told to.

The same tests run against a real server, from which they are told apart by the index names
`hoursight-test-*`, when these are set:

    ELASTICSEARCH_URL        such as https://127.0.0.1:9200; the failures are played before it
    ELASTICSEARCH_USER       who may make, fill and delete such indices, data streams and templates
    ELASTICSEARCH_PASSWORD
    ELASTICSEARCH_CA_FILE    when its certificate is not of a known authority
    ELASTICSEARCH_API_KEY    id:key, for the one test of it
"""

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from elasticsearch import Elasticsearch, NotFoundError

from functions.connectors.incremental_read import IncrementalRead
from functions.connectors.source_file import read_source
from functions.engine.function import Batch, Unreachable
from functions.normalize.strict_toml import SourceInvalid
from storage.config.folders import Folders
from tests.functions.connectors.connector_contract import Contract, Rig
from tests.functions.connectors.elasticsearch_double.http_front import (
    Changed,
    Dripping,
    Dropped,
    Fault,
    Html,
    HttpFront,
    Hung,
)
from tests.functions.connectors.elasticsearch_double.index_writer import (
    API_KEY,
    PASSWORD,
    REAL,
    USER,
    IndexWriter,
    backend,
    base64_of,
)

NOW = datetime(2026, 5, 6, 12, 0, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def door() -> Iterator[HttpFront]:
    door = HttpFront(backend())
    door.open()
    yield door
    door.close()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HttpFront, Path]]:
    """The same over TLS, and the folder of its certificates."""
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    stranger.cert_pem.write_to_path(str(folder / "other.pem"))
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    door = HttpFront(backend(), context)
    door.open()
    yield door, folder
    door.close()


@pytest.fixture
def writer(door: HttpFront) -> Iterator[IndexWriter]:
    writer = IndexWriter(door)
    yield writer
    writer.close()


def file_of(
    door: HttpFront, index: str, connection: str = "", mapping: str = 'stock = "flat"'
) -> bytes:
    return f"""
kind = "elasticsearch"
history = "1h"
[connection]
index = "{index}"
hosts = ["{door.url}"]
user = "{USER}"
password_env = "ELASTIC_PASSWORD"
timeout = "400ms"
{connection}
[mapping]
{mapping}
""".encode()


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTIC_PASSWORD", PASSWORD)
    monkeypatch.setenv("ELASTIC_KEY", API_KEY)


@pytest.fixture
def draw_of(tmp_path: Path) -> Iterator[Callable[[bytes], IncrementalRead]]:
    """Makes a draw of a source file; hangs up at the end."""
    made = []

    def make(text: bytes) -> IncrementalRead:
        made.append(IncrementalRead(read_source("elastic", text, Folders.at(tmp_path))))
        return made[-1]

    yield make
    for draw in made:
        draw.close()


def document(second: float = 0, server: str = "web1", **values: Any) -> dict[str, Any]:
    at = (NOW + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")
    return {"ts": at, "hostname": server, "cpu_user": 12.5} | values


def servers_of(batch: Batch) -> list[str]:
    return sorted(batch.rows["metrics"]["server"].to_pylist()) if batch.rows else []


def all_of(
    draw: IncrementalRead, cursor: str | None = None, now: datetime = NOW
) -> tuple[list[str], str]:
    """The servers of all rows until there is no more, and the cursor after them."""
    found: list[str] = []
    while True:
        batch = draw.run(now, cursor)
        cursor = batch.cursor or cursor
        found += servers_of(batch)
        if not batch.more:
            return sorted(found), cursor


def some(n: int) -> list[dict[str, Any]]:
    """Documents of n servers, three at one time."""
    return [document(i // 3 - 60, f"s{i:03}") for i in range(n)]


def names(n: int) -> list[str]:
    return [f"s{i:03}" for i in range(n)]


class ElasticRig(Rig):
    """The double behind TLS, or a real server behind our own door; an index for each scene."""

    def __init__(self, door: HttpFront, folder: Path) -> None:
        self._door, self._folder = door, folder
        self.writer = IndexWriter(door, ca_certs=str(folder / "ca.pem"))
        self._index = self.writer.index()

    def text(self, **connection: Any) -> str:
        return self._text("ca.pem", "".join(f"{k} = {v!r}\n" for k, v in connection.items()))

    def _text(self, authority: str, more: str = "") -> str:
        tls = f'ca_file = "{self._folder / authority}"\npage = {self.page}\n{more}'
        return file_of(self._door, self._index, tls).decode()

    def put(self, documents: list[dict[str, Any]]) -> None:
        self.writer.put(self._index, documents)

    def stop(self) -> None:
        self._door.close()

    def start(self) -> None:
        self._door.open()

    def wrong_password(self) -> str:
        return self.text().replace("ELASTIC_PASSWORD", "HOME")

    def wrong_ca(self) -> str:
        return self._text("other.pem")

    @contextmanager
    def slow(self) -> Iterator[str]:
        with self._door.hanging():
            yield self.text().replace("400ms", "100ms")


class TestElasticsearch(Contract):
    @pytest.fixture
    def rig(self, secured: tuple[HttpFront, Path]) -> Iterator[Rig]:
        rig = ElasticRig(*secured)
        yield rig
        rig.writer.close()


def test_only_what_has_come_since_is_handed_over(door, writer, draw_of):
    index = writer.index()
    draw = draw_of(file_of(door, index))
    writer.put(index, [document(0, "first")])
    first, cursor = all_of(draw)
    writer.put(index, [document(5, "second"), document(-100, "late")])
    second, _ = all_of(draw, cursor, NOW + timedelta(seconds=40))
    assert (first, second) == (["first"], ["late", "second"])


@pytest.mark.parametrize("page", [1, 7])
def test_a_time_with_more_documents_than_a_page_is_read_through_by_each_new_process(
    door, writer, draw_of, page
):
    index = writer.index()
    writer.put(index, [document(0, name) for name in names(30)])
    text = file_of(door, index, f"page = {page}")
    first, cursor = all_of(draw_of(text))
    writer.put(index, [document(0, "same time"), document(5, "next")])
    again, _ = all_of(draw_of(text), cursor)
    assert first == names(30)
    assert again == sorted([*names(30), "same time", "next"])


@pytest.mark.parametrize(
    ("kind", "form", "value"),
    [
        ("date", "iso", "2026-05-06T14:00:05.250+02:00"),
        ("date_nanos", "iso", "2026-05-06T12:00:05.250123456Z"),
        ("date", "epoch_ms", 1778068805250),
        ("long", "epoch_ms", 1778068805250),
        ("double", "epoch_s", 1778068805.25),
    ],
)
def test_dates_nanoseconds_and_numbers_are_times(door, writer, draw_of, kind, form, value):
    index = writer.index(ts=kind)
    mapping = f'stock = "flat"\n[mapping.time]\nfield = "ts"\nformat = "{form}"'
    draw = draw_of(file_of(door, index, mapping=mapping))
    writer.put(index, [document(ts=value)])
    batch = draw.run(NOW, None)
    assert [t.isoformat()[:22] for t in batch.rows["metrics"]["ts"].to_pylist()] == [
        "2026-05-06T12:00:05.25"
    ]
    assert json.loads(batch.cursor)["position"] == {"at": 1778068805250}
    assert not draw.run(NOW, batch.cursor).row_count


def test_a_document_from_the_future_is_refused_and_does_not_lead(door, writer, draw_of):
    index = writer.index()
    draw = draw_of(file_of(door, index))
    writer.put(index, [document(0, "sound"), document(10**6, "ahead")])
    batch = draw.run(NOW, None)
    writer.put(index, [document(5, "next")])
    assert "ahead" not in json.dumps(batch.cursor)
    assert servers_of(draw.run(NOW + timedelta(seconds=5), batch.cursor)) == ["next"]


def test_metricbeat_in_a_data_stream_becomes_rows_without_any_mapping(door, writer, draw_of):
    stream = writer.stream()
    draw = draw_of(file_of(door, stream, mapping=""))
    base = {"@timestamp": "2026-05-06T12:00:01.5Z", "host": {"name": "web1"}}
    system = [
        {"cpu": {"cores": 4, "user": {"norm": {"pct": 0.25}}, "idle": {"norm": {"pct": 0.5}}}},
        {"memory": {"actual": {"used": {"pct": 0.452}}, "swap": {"used": {"pct": 0}}}},
        {"load": {"1": 1.5, "cores": 4}},
        {"filesystem": {"mount_point": "/", "used": {"pct": 0.3}}},
        {"filesystem": {"mount_point": "/data", "used": {"pct": 0.67}}},
        *[{"network": {"name": "eth0", "in": {"bytes": b}, "out": {"bytes": 0}}} for b in (0, 2e7)],
    ]
    documents = [base | {"system": each, "unread": "x" * 50} for each in system]
    documents[-1]["@timestamp"] = "2026-05-06T12:00:05.5Z"
    writer.put(stream, documents)
    row = draw.run(NOW, None).rows["metrics"].to_pylist()[0]
    assert (row["server"], row["ts"]) == ("web1", NOW.replace(second=0))
    found = {name: row[name] and round(row[name], 3) for name in row if name.endswith("_pct")}
    assert (found["cpu_user_pct"], found["cpu_idle_pct"]) == (25, 50)
    assert (found["mem_used_pct"], found["swap_used_pct"], found["disk_usage_pct"]) == (45.2, 0, 67)
    assert (row["load_average"], row["net_in_mb_s"], row.get("java_cpu_pct")) == (1.5, 5, None)


def test_a_pattern_reads_all_its_indices_and_tells_of_those_without_the_time(door, writer, draw_of):
    one = writer.index()
    writer.index(name=f"{one}-nanos", ts="date_nanos")
    writer.index(name=f"{one}-other", when="date")
    draw = draw_of(file_of(door, f"{one}*"))
    writer.put(one, [document(0, "a"), document(2, "c")])
    writer.put(f"{one}-nanos", [document(1, "b")])
    batch = draw.run(NOW, None)
    assert servers_of(batch) == ["a", "b", "c"]
    assert batch.reasons == (f"left out, because they have no field 'ts': {one}-other",)


@pytest.mark.parametrize("index", ["hoursight-test-none", "hoursight-test-none-*"])
def test_an_index_that_is_not_there_yet_is_told_with_those_that_are(door, writer, draw_of, index):
    there = writer.index()
    draw = draw_of(file_of(door, index))
    batch = draw.run(NOW, None)
    assert batch.reasons[0].startswith(f"no index or data stream '{index}' that may be read, there")
    assert there in batch.reasons[0]
    made = writer.index(name=index.replace("*", "made"))
    writer.put(made, [document()])
    later = draw.run(NOW, batch.cursor)
    assert (servers_of(later), later.reasons) == (["web1"], ())


@pytest.mark.parametrize(
    ("types", "says"),
    [
        ({"when": "date", "x": "long"}, "have in its mapping; date fields are when: write"),
        ({"x": "long"}, "does not have in its mapping; it has no date field"),
        ({"ts": "keyword"}, "'ts' is mapped as keyword, which does not sort by time: name"),
        ({"ts": "long"}, "holds 'ts' as a number: write one of epoch_s, epoch_ms"),
    ],
)
def test_a_time_that_is_not_mapped_in_order_is_told_with_the_remedy(
    door, writer, draw_of, types, says
):
    draw = draw_of(file_of(door, writer.index(**types)))
    with pytest.raises(SourceInvalid, match=says):
        draw.run(NOW, None)


def test_only_the_fields_of_the_mapping_are_fetched_and_nothing_is_written(door, writer, draw_of):
    index = writer.index()
    writer.put(index, [document(0, unread="x" * 1000)])
    source = draw_of(file_of(door, index))
    door.seen.clear()
    feed = source._source.connect()
    (page,) = feed.pages(None, NOW)
    feed.close()
    assert dict(page.documents[0]) == document(0)
    assert set(door.seen) <= {
        ("POST", f"/{index}/_field_caps"), ("POST", f"/{index}/_pit"), ("POST", "/_search"),
        ("DELETE", "/_pit"),
    }  # fmt: skip
    assert door.seen.count(("POST", f"/{index}/_pit")) == door.seen.count(("DELETE", "/_pit")) == 1


SHARDS = {
    "total": 4, "successful": 3, "failed": 1,
    "failures": [{"shard": 1, "reason": {"type": "node_disconnected_exception"}}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Changed(_shards=SHARDS), r"1 of 4 shards of .* did not answer \(node_disconnected_exc"),
        (Changed(timed_out=True), r"gave up the search .*timed_out.*write a longer timeout"),
        (Fault(429, "es_rejected_execution_exception"), r"turned the search away \(429\)"),
        (Fault(500, "search_phase_execution_exception"), "answered 500, search_phase_execution"),
        (Fault(502), "is not ready"),
        (Fault(503, "no_shard_available_action_exception"), "is not ready .503, no_shard_avail"),
        (Fault(504), "is not ready"),
        (Html(502), "not Elasticsearch's own .*Bad Gateway"),
        (Html(200), "not Elasticsearch's own .*Bad Gateway"),
        (Dropped(), "the connection was lost .*write https"),
        (Hung(), "does not answer within 100ms"),
        (Dripping(), "does not answer within 100ms"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_failure_holds_the_position_is_told_and_loses_nothing(door, writer, draw_of, fault, says):
    index = writer.index()
    writer.put(index, some(30))
    draw = draw_of(file_of(door, index, "page = 10").replace(b"400ms", b"100ms"))
    door.fail(fault)
    with pytest.raises(Unreachable, match=says):
        draw.run(NOW, None)
    door.fail(fault, after=1)  # in the middle: what came before counts
    batch = draw.run(NOW, None)
    rest, _ = all_of(draw, batch.cursor)
    assert (len(servers_of(batch)), batch.more) == (10, True)
    assert {*servers_of(batch), *rest} == set(names(30))


@pytest.mark.parametrize("partly", [False, True])
def test_a_point_in_time_that_expires_in_the_middle_loses_and_doubles_nothing(
    door, writer, draw_of, partly
):
    index = writer.index()
    writer.put(index, [*some(40), *[document(0, f"t{i}") for i in range(25)]])
    feed = draw_of(file_of(door, index, "page = 10"))._source.connect()
    found: list[str] = []
    for number, page in enumerate(feed.pages(None, NOW)):
        found += [document["hostname"] for document in page.documents]
        if number in (2, 5):  # among different times, and among documents of one time
            _expire(door, partly)
    feed.close()
    assert sorted(found) == sorted([*names(40), *[f"t{i}" for i in range(25)]])


def _expire(door: HttpFront, partly: bool) -> None:
    if partly:  # some shards have lost it: the others answer, with status 200
        gone = {"shard": 0, "reason": {"type": "search_context_missing_exception"}}
        door.fail(Changed(_shards=SHARDS | {"failures": [gone]}))
        return
    door.expire({"Authorization": f"Basic {base64_of(f'{USER}:{PASSWORD}')}"})


def test_points_in_time_that_expire_at_once_are_told(door, writer, draw_of):
    draw = draw_of(file_of(door, writer.index()))
    for _ in range(4):
        door.fail(Fault(404, "search_context_missing_exception"))
    with pytest.raises(Unreachable, match="expire before a page is read, 3 in a row: write a smal"):
        draw.run(NOW, None)


@pytest.mark.skipif(not API_KEY, reason="ELASTICSEARCH_API_KEY is not set")
@pytest.mark.parametrize("encoded", [False, True])
def test_an_api_key_reads_in_either_form(door, writer, draw_of, monkeypatch, encoded):
    if encoded:
        monkeypatch.setenv("ELASTIC_KEY", base64_of(API_KEY))
    index = writer.index()
    writer.put(index, [document()])
    text = _with_key(file_of(door, index))
    assert servers_of(draw_of(text).run(NOW, None)) == ["web1"]


def test_a_wrong_api_key_is_told(door, writer, draw_of, monkeypatch):
    monkeypatch.setenv("ELASTIC_KEY", "none:such")
    text = _with_key(file_of(door, writer.index()))
    with pytest.raises(Unreachable, match=r"refused this API key \(401\): check .*api_key_env"):
        draw_of(text).run(NOW, None)


def _with_key(text: bytes) -> bytes:
    basic = f'user = "{USER}"\npassword_env = "ELASTIC_PASSWORD"'.encode()
    return text.replace(basic, b'api_key_env = "ELASTIC_KEY"')


@pytest.mark.skipif(bool(REAL), reason="of a real server only one user is known, who may read all")
def test_a_user_without_the_privilege_is_told_which_to_ask_for(door, draw_of):
    with pytest.raises(Unreachable, match=r"user 'reader' may not read 'payroll' \(403\): .*read"):
        draw_of(file_of(door, "payroll")).run(NOW, None)


def test_another_host_is_asked_when_one_is_away(door, writer, draw_of):
    index = writer.index()
    writer.put(index, [document()])
    hosts = f'["http://127.0.0.1:1", "{door.url}"]'
    text = file_of(door, index).replace(f'["{door.url}"]'.encode(), hosts.encode())
    assert servers_of(draw_of(text).run(NOW, None)) == ["web1"]


def test_nothing_that_listens_and_no_elasticsearch_are_told(door, writer, draw_of):
    text = file_of(door, writer.index())
    with pytest.raises(Unreachable, match=r"nothing listens there .*check hosts"):
        draw_of(text.replace(door.url.encode(), b"http://127.0.0.1:1")).run(NOW, None)
    door.product = False
    try:
        with pytest.raises(Unreachable, match="does not say that it is Elasticsearch"):
            draw_of(text).run(NOW, None)
    finally:
        door.product = True


def test_tls_by_fingerprint_and_what_does_not_fit_is_told(secured, door, draw_of):
    server, folder = secured
    writer = IndexWriter(server, ca_certs=str(folder / "ca.pem"))
    index = writer.index()
    writer.put(index, [document()])
    certificate = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    right = certificate.fingerprint(SHA256()).hex(":")
    text = file_of(server, index, f'fingerprint = "{right}"')
    assert servers_of(draw_of(text).run(NOW, None)) == ["web1"]
    wrong = text.replace(right.encode(), ("00" * 32).encode())
    plain = file_of(server, index).replace(b"https", b"http")
    no_tls = text.replace(server.url.encode(), door.url.replace("http", "https").encode())
    for what, says in (
        (wrong, "TLS was refused .*check ca_file or fingerprint"),
        (plain, "the connection was lost .*if it expects TLS, write https"),
        (no_tls, "no TLS is spoken there"),
    ):
        with pytest.raises(Unreachable, match=says):
            draw_of(what).run(NOW, None)
    writer.close()


@pytest.mark.parametrize(
    ("connection", "says"),
    [
        ('hosts = ["es1:9200"]', "hosts has 'es1:9200', expected scheme, name and port"),
        ('hosts = ["https://u:p@es1:9200"]', "hosts has a user or password, which does not belong"),
        ('user = "u"', "user and password_env or password_file belong together"),
        ('api_key_env = "A"\nuser = "u"', "there are an API key and a user"),
        ('ca_file = "/ca.pem"', "hosts are http, and there is a ca_file"),
        ('hosts = ["https://a:1"]\nfingerprint = "AB"', "'AB', expected the SHA-256"),
        ("page = 10001", "page is 10001, expected 1 to 10000"),
        ('timeout = "30s"', "timeout is '30s', expected 20s at most"),
    ],
)
def test_a_mistake_in_the_file_is_told(tmp_path, connection, says):
    text = f'kind = "elasticsearch"\n[connection]\nindex = "x"\n{connection}'.encode()
    with pytest.raises(SourceInvalid, match=says):
        read_source("elastic", text, Folders.at(tmp_path))


@pytest.mark.parametrize(
    ("search", "status", "says"),
    [
        ({"size": 10_001}, 400, "Result window is too large"),
        ({"sort": [{"none": "asc"}]}, 400, "No mapping found for [none] in order to sort on"),
        ({"sort": [{"none": {"unmapped_type": "long"}}]}, 200, ""),
        ({"sort": [{"words": "asc"}]}, 400, "Fielddata is disabled"),
        ({"sort": [{"ts": "asc"}], "search_after": [1, 2]}, 400, "search_after has 2 value(s)"),
        ({"sort": [{"_shard_doc": "asc"}]}, 400, "_shard_doc"),
        ({"pit": {"id": "none"}}, 400, ""),
        ({"query": {"rage": {}}}, 400, "unknown query [rage]"),
    ],
)
def test_the_double_refuses_what_a_server_refuses(writer, search, status, says):
    index = writer.index(ts="date", words="text")
    writer.put(index, [document()])
    client = writer.client.options(ignore_status=(400, 404))
    path, headers = f"/{index}/_search", {"content-type": "application/json"}
    answer = client.perform_request(
        "POST", path, headers=headers | {"accept": "application/json"}, body=search
    )
    assert answer.meta.status == status
    assert says in json.dumps(answer.body)


@pytest.mark.parametrize(
    ("bounds", "found"),
    [
        ({"gte": 1778068800000, "format": "epoch_millis"}, 12_001),
        ({"gt": 1778068800000, "format": "epoch_millis"}, 12_000),
        ({"lt": "2026-05-06T12:00:02Z"}, 2000),
        ({"lte": "2026-05-06T14:00:02", "time_zone": "+02:00"}, 2001),
        ({"gte": "now-1h"}, 0),
    ],
)
def test_the_double_counts_and_compares_as_a_server_does(many, bounds, found):
    client, index = many
    counted = client.search(index=index, query={"range": {"ts": bounds}}, track_total_hits=True)
    capped = client.search(index=index, query={"range": {"ts": bounds}})
    assert counted["hits"]["total"] == {"value": found, "relation": "eq"}
    relation = "gte" if found > 10_000 else "eq"
    assert capped["hits"]["total"] == {"value": min(found, 10_000), "relation": relation}


@pytest.fixture(scope="module")
def many(door: HttpFront) -> Iterator[tuple[Elasticsearch, str]]:
    """An index with a document at each of 12,001 milliseconds."""
    writer = IndexWriter(door)
    index = writer.index()
    writer.put(index, [{"ts": 1778068800000 + i} for i in range(12_001)])
    yield writer.client, index
    writer.close()


def test_a_point_in_time_does_not_see_what_comes_later(writer):
    index = writer.index()
    writer.put(index, [document()])
    point = writer.client.open_point_in_time(index=index, keep_alive="1m")["id"]
    writer.put(index, [document(1)])
    seen = writer.client.search(pit={"id": point, "keep_alive": "1m"}, sort=[{"ts": "asc"}])
    assert len(seen["hits"]["hits"]) == 1
    assert writer.client.close_point_in_time(id=seen["pit_id"])["num_freed"] >= 1
    with pytest.raises(NotFoundError, match="search_context_missing_exception"):
        writer.client.search(pit={"id": point, "keep_alive": "1m"}, sort=[{"ts": "asc"}])
