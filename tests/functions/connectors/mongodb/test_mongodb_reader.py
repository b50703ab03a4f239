"""The MongoDB adapter against a real mongod 6.0.5: credentials, TLS, a user who may only read."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from bson.decimal128 import Decimal128
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from functions.connectors.incremental_read import IncrementalRead
from functions.connectors.source_file import read_source
from functions.engine.function import Batch, Unreachable
from scripts.mongod import Mongod, running
from storage.config.folders import Folders
from tests.functions.connectors.connector_contract import Chain, Contract, Rig

PASSWORD = "päss/w:rd@1%"  # noqa: S105 - of a test; a URI has to escape it
NOW = datetime(2026, 5, 6, 12, 0, 30, tzinfo=UTC)
DAY = "2026-05-06"


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with running(tmp_path_factory.mktemp("mongod"), PASSWORD) as server:
        yield server


@pytest.fixture
def collection(
    mongod: Mongod, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """An empty collection with an index on its time, of which the reader knows the password."""
    monkeypatch.setenv("MONGO_PASSWORD", PASSWORD)
    with mongod.admin() as client:
        found = client.monitoring[f"samples{abs(hash(request.node.name))}"]
        found.create_index("timestamp")
        yield found
        found.drop()


def file_of(mongod: Mongod, collection: str, connection: str = "", rest: str = "") -> bytes:
    return f"""
kind = "mongodb"
{rest}
[connection]
database = "monitoring"
collection = "{collection}"
port = {mongod.port}
user = "reader"
password_env = "MONGO_PASSWORD"
direct = true
timeout = "1s"
{connection}
""".encode()


@pytest.fixture
def draw_of(tmp_path: Path) -> Iterator[Callable[[bytes], IncrementalRead]]:
    """Makes a draw of a source file; hangs up at the end."""
    made = []

    def make(text: bytes) -> IncrementalRead:
        made.append(IncrementalRead(read_source("mongo", text, Folders.at(tmp_path))))
        return made[-1]

    yield make
    for draw in made:
        draw.close()


def document(second: float = 0, server: str = "db1", **values: Any) -> dict[str, Any]:
    return {"hostname": server, "timestamp": NOW + timedelta(seconds=second), "cpu_user": 12.5} | (
        values
    )


def servers_of(batch: Batch) -> list[str]:
    return batch.rows["metrics"]["server"].to_pylist() if batch.rows else []


def all_of(
    draw: IncrementalRead, now: datetime = NOW, cursor: str | None = None
) -> tuple[list[Any], str]:
    """What all runs bring until there is no more: (server, ts), and the cursor after it."""
    found: list[Any] = []
    while True:
        batch = draw.run(now, cursor)
        cursor = batch.cursor or cursor
        rows = batch.rows.get("metrics")
        if rows is not None and rows.num_rows:
            found += zip(rows["server"].to_pylist(), rows["ts"].to_pylist(), strict=True)
        if not batch.more:
            return found, cursor


def test_documents_become_rows_with_their_units(mongod, collection, draw_of):
    collection.insert_one(document(memory_used=45.2, swap_used=0, disk_used="67% /data"))
    batch = draw_of(file_of(mongod, collection.name)).run(NOW, None)
    row = batch.rows["metrics"].to_pylist()[0]
    assert (row["server"], row["ts"]) == ("db1", NOW)
    assert (row["mem_used_pct"], row["swap_used_pct"]) == (pytest.approx(45.2), 0)
    assert (row["disk_usage_pct"], row.get("load_average")) == (67, None)


def test_decimals_are_numbers_and_times_like_others(mongod, collection, draw_of):
    seconds = [Decimal128(f"{NOW.timestamp() + i:.3f}") for i in range(2)]
    collection.insert_many([
        document(timestamp=seconds[0], memory_used=Decimal128("45.2")),
        document(timestamp=seconds[1], memory_used=Decimal128("NaN")),
    ])  # fmt: skip
    time = b"[mapping.time]\nfield = 'timestamp'\nformat = 'epoch_s'"
    text = file_of(mongod, collection.name) + time
    batch = draw_of(text).run(NOW, None)
    rows = batch.rows["metrics"]
    assert rows["ts"].to_pylist() == [NOW, NOW + timedelta(seconds=1)]
    assert rows["mem_used_pct"].to_pylist() == [pytest.approx(45.2), None]
    assert "Decimal128('NaN') of db1" in batch.reasons[0]


def test_only_what_has_come_since_is_read(mongod, collection, draw_of):
    draw = draw_of(file_of(mongod, collection.name))
    collection.insert_one(document(0))
    first = draw.run(NOW, None)
    collection.insert_one(document(5))
    second = draw.run(NOW + timedelta(seconds=5), first.cursor)
    assert len(servers_of(first)) == 1
    assert second.rows["metrics"]["ts"].to_pylist() == [NOW + timedelta(seconds=5)]


def test_a_late_document_within_the_overlap_is_seen(mongod, collection, draw_of):
    draw = draw_of(file_of(mongod, collection.name))
    collection.insert_one(document(0))
    cursor = draw.run(NOW, None).cursor
    collection.insert_one(document(-110, "late"))
    batch = draw.run(NOW + timedelta(seconds=40), cursor)
    assert servers_of(batch) == ["late"]


@pytest.mark.parametrize("page", [1, 7, 5000])
def test_more_documents_at_one_time_than_a_page_holds_do_not_stall(
    mongod, collection, draw_of, page
):
    collection.insert_many([document(0, f"s{i}") for i in range(50)] + [document(5, "next")])
    found, _ = all_of(draw_of(file_of(mongod, collection.name, f"page = {page}")))
    assert sorted(server for server, _ in found) == sorted([f"s{i}" for i in range(50)] + ["next"])


@pytest.mark.parametrize(
    ("form", "times"),
    [
        ("iso", [f"{DAY}T12:00:00Z", f"{DAY}T12:00:20Z", f"{DAY}T12:00:25Z"]),
        ("iso", [f"{DAY} 14:00:00+02:00", f"{DAY} 14:00:20+02:00", f"{DAY} 14:00:25+02:00"]),
        ("epoch_s", [1778068800, 1778068820.0, 1778068825]),
        ("%Y/%m/%d %H.%M.%S", [f"2026/05/06 12.00.{second}" for second in ("00", "20", "25")]),
    ],
)  # fmt: skip
def test_text_and_numbers_are_times_too(mongod, collection, draw_of, form, times):
    time = f'[mapping.time]\nfield = "timestamp"\nformat = "{form}"\nzone = "UTC"'
    draw = draw_of(file_of(mongod, collection.name, "", "") + time.encode())
    collection.insert_many([document(server="a", timestamp=each) for each in times[:2]])
    first, cursor = all_of(draw)
    collection.insert_one(document(server="a", timestamp=times[2]))
    second, _ = all_of(draw, NOW + timedelta(seconds=6), cursor)
    assert [ts for _, ts in first] == [NOW - timedelta(seconds=s) for s in (30, 10)]
    assert [ts for _, ts in second] == [NOW - timedelta(seconds=5)]


def test_text_that_does_not_sort_by_time_is_refused_with_the_remedy(mongod, collection, draw_of):
    collection.insert_one(document(timestamp="06.05.2026 12:00:00"))
    time = b'[mapping.time]\nfield = "timestamp"\nformat = "%d.%m.%Y %H:%M:%S"\nzone = "UTC"'
    draw = draw_of(file_of(mongod, collection.name) + time)
    with pytest.raises(ValueError, match="does not sort by time: name another field"):
        draw.run(NOW, None)


def test_a_bad_document_is_told_and_holds_nothing_up(mongod, collection, draw_of):
    draw = draw_of(file_of(mongod, collection.name))
    collection.insert_many([
        document(0, "good"),
        document(timestamp="unknown"),  # larger than any time as text
        document(1, "half", cpu_user="n/a", memory_used=40.0),
        {"timestamp": NOW, "cpu_user": 1.0},
        document(10**8, "ahead"),
    ])  # fmt: skip
    batch = draw.run(NOW, None)
    collection.insert_one(document(5, "next"))
    after = draw.run(NOW + timedelta(seconds=5), batch.cursor)
    assert {"good", "half"} <= set(servers_of(batch))
    assert servers_of(after) == ["next"]
    told = " | ".join(batch.reasons)
    assert "'unknown'" in told
    assert "'n/a'" in told
    assert "server" in told


def test_a_wrong_password_is_told_with_the_remedy(mongod, collection, draw_of, monkeypatch):
    monkeypatch.setenv("MONGO_PASSWORD", "wrong")
    draw = draw_of(file_of(mongod, collection.name))
    with pytest.raises(Unreachable, match=r"refused the credentials of 'reader' \(code 18\)"):
        draw.run(NOW, None)


def test_a_user_without_the_role_is_told_which_to_ask_for(mongod, collection, draw_of):
    text = file_of(mongod, collection.name).replace(b'"monitoring"', b'"payroll"')
    with pytest.raises(Unreachable, match="grant the role 'read' on 'payroll'"):
        draw_of(text).run(NOW, None)


def test_an_empty_collection_says_what_there_is(mongod, collection, draw_of):
    collection.insert_one(document())
    batch = draw_of(file_of(mongod, "mistyped")).run(NOW, None)
    assert "monitoring.mistyped has no documents; there are " in batch.reasons[0]
    assert collection.name in batch.reasons[0]


def test_a_time_without_an_index_is_told(mongod, collection, draw_of):
    collection.drop_indexes()
    collection.insert_one(document())
    batch = draw_of(file_of(mongod, collection.name)).run(NOW, None)
    assert servers_of(batch) == ["db1"]
    assert "no index that begins with 'timestamp'" in batch.reasons[0]


def test_nothing_is_ever_written_as_the_servers_own_profile_shows(mongod, collection, draw_of):
    database = collection.database
    collection.insert_one(document())
    before = set(collection.index_information())
    database.command("profile", 2)
    try:
        draw = draw_of(file_of(mongod, collection.name, "change_stream = true", 'every = "1s"'))
        all_of(draw)
        collection.insert_one(document(1))
        draw.run(NOW + timedelta(seconds=5), None)
        seen = database["system.profile"].find({"appName": "hoursight"})
        commands = {next(iter(each.get("command", {"?": 1}))) for each in seen}
    finally:
        database.command("profile", 0)
    assert "find" in commands
    assert commands <= {"find", "getMore", "aggregate", "listIndexes", "listCollections"}
    assert set(collection.index_information()) == before


def test_a_change_stream_hands_a_document_over_before_the_next_poll(mongod, collection, draw_of):
    text = file_of(mongod, collection.name, "change_stream = true", 'every = "2s"')
    draw = draw_of(text)
    collection.insert_one(document(0, "polled"))
    cursor = _first_with_rows(draw, "polled", None)
    collection.insert_one(document(1, "pushed"))
    _first_with_rows(draw, "pushed", cursor)


def test_a_stream_that_never_rests_is_handed_over_all_the_same(mongod, collection, draw_of):
    text = file_of(mongod, collection.name, "change_stream = true", 'every = "2s"')
    draw = draw_of(text)
    collection.insert_one(document(0, "polled"))
    cursor = _first_with_rows(draw, "polled", None)
    stop = threading.Event()

    def insert_on() -> None:
        for i in range(10_000):
            collection.insert_one(document(1, f"s{i}"))
            if stop.is_set():
                return

    thread = threading.Thread(target=insert_on)
    thread.start()
    try:
        batch = draw.run(NOW, cursor)
    finally:
        stop.set()
        thread.join()
    assert 0 < len(servers_of(batch)) < 5000  # not a page, for which it would wait on


def _first_with_rows(draw: IncrementalRead, server: str, cursor: str | None) -> str | None:
    """Run at one and the same time, so that nothing is polled twice, until the server came."""
    for _ in range(5):
        batch = draw.run(NOW, cursor)
        cursor = batch.cursor or cursor
        if server in servers_of(batch):
            return cursor
    raise AssertionError(f"{server} did not come")


def test_a_time_series_collection_is_polled_though_a_change_stream_is_asked_for(
    mongod, collection, draw_of
):
    name = collection.name + "_series"
    collection.database.create_collection(name, timeseries={"timeField": "timestamp"})
    collection.database[name].insert_one(document())
    batch = draw_of(file_of(mongod, name, "change_stream = true")).run(NOW, None)
    assert servers_of(batch) == ["db1"]
    assert any("no change stream, polled instead" in reason for reason in batch.reasons)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mongod, Path]]:
    """A server that speaks TLS only, and the folder of its certificates."""
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    stranger.cert_pem.write_to_path(str(folder / "other.pem"))
    for name, made in (
        ("server", authority.issue_cert("127.0.0.1", "localhost")),
        ("client", authority.issue_cert("client@example.org", common_name="hoursight")),
    ):
        made.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
    tls = (
        "--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(folder / "server.pem"),
        "--tlsCAFile", str(folder / "ca.pem"), "--tlsAllowConnectionsWithoutCertificates",
    )  # fmt: skip
    options = {"tls": True, "tlsCAFile": str(folder / "ca.pem")}
    with running(folder / "mongod", PASSWORD, *tls, **options) as server:
        with server.admin(**options) as client:
            client.monitoring.samples.insert_one(document())
            roles = [{"role": "read", "db": "monitoring"}]
            client["$external"].command("createUser", _subject(folder / "client.pem"), roles=roles)
        yield server, folder


def _subject(path: Path) -> str:
    text = path.read_bytes()
    certificate = x509.load_pem_x509_certificate(text[text.index(b"-----BEGIN CERT") :])
    assert certificate.public_bytes(Encoding.PEM)
    return certificate.subject.rfc4514_string()


class MongodRig(Rig):
    """A real mongod that speaks TLS, a collection for each scene."""

    def __init__(self, server: Mongod, folder: Path, collection: str) -> None:
        self._server, self._folder, self._name = server, folder, collection
        self._options = {"tls": True, "tlsCAFile": str(folder / "ca.pem")}

    def text(self, **connection: Any) -> str:
        return self._text("ca.pem", "".join(f"{k} = {v!r}\n" for k, v in connection.items()))

    def _text(self, authority: str, more: str = "") -> str:
        tls = f'tls = true\nca_file = "{self._folder / authority}"\npage = {self.page}\n{more}'
        return file_of(self._server, self._name, tls, 'history = "1h"').decode()

    def put(self, documents: list[dict[str, Any]]) -> None:
        with self._server.admin(**self._options) as client:
            client.monitoring[self._name].create_index("ts")
            client.monitoring[self._name].insert_many(documents)

    def stop(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()

    def wrong_password(self) -> str:
        return self.text().replace("MONGO_PASSWORD", "HOME")

    def wrong_ca(self) -> str:
        return self._text("other.pem")

    @contextmanager
    def slow(self) -> Iterator[str]:
        self._server.suspend()
        try:
            yield self.text()
        finally:
            self._server.resume()


class TestMongodb(Contract):
    @pytest.fixture
    def rig(
        self,
        secured: tuple[Mongod, Path],
        request: pytest.FixtureRequest,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Rig:
        monkeypatch.setenv("MONGO_PASSWORD", PASSWORD)
        return MongodRig(*secured, request.node.name[:60])

    def test_an_empty_source_is_no_trouble_and_writes_nothing(self, rig: Rig, chain: Chain) -> None:
        run = chain.run_all(rig.text())
        assert (run.outcome, run.error) == ("nothing", None)
        assert "has no documents" in chain.house.one("SELECT refusals[1] FROM segments")
        assert not chain.samples()


def test_tls_with_a_password_or_a_certificate_of_the_client(secured, draw_of, monkeypatch):
    server, folder = secured
    monkeypatch.setenv("MONGO_PASSWORD", PASSWORD)
    tls = f'tls = true\nca_file = "{folder}/ca.pem"'
    by_password = file_of(server, "samples", tls)
    by_certificate = file_of(
        server, "samples",
        f'{tls}\ncertificate_file = "{folder}/client.pem"\nauth_mechanism = "MONGODB-X509"',
    ).replace(b'user = "reader"\npassword_env = "MONGO_PASSWORD"\n', b"")  # fmt: skip
    for text in (by_password, by_certificate):
        assert servers_of(draw_of(text).run(NOW, None)) == ["db1"]


def test_tls_that_does_not_fit_is_told_as_such(secured, draw_of, monkeypatch):
    server, folder = secured
    monkeypatch.setenv("MONGO_PASSWORD", PASSWORD)
    stranger = file_of(server, "samples", f'tls = true\nca_file = "{folder}/other.pem"')
    with pytest.raises(Unreachable, match=r"TLS was refused .*check tls, ca_file"):
        draw_of(stranger).run(NOW, None)
    with pytest.raises(Unreachable, match="if it expects TLS, write tls = true"):
        draw_of(file_of(server, "samples")).run(NOW, None)


def test_a_uri_with_a_password_does_not_belong_in_the_file(mongod, collection, draw_of):
    plain = file_of(mongod, collection.name).replace(
        f"port = {mongod.port}".encode(), f'uri = "mongodb://127.0.0.1:{mongod.port}/"'.encode()
    )
    collection.insert_one(document())
    assert servers_of(draw_of(plain).run(NOW, None)) == ["db1"]
    with pytest.raises(ValueError, match=r"connection\.uri holds a password"):
        draw_of(plain.replace(b"//127", b"//reader:secret@127")).run(NOW, None)


def test_a_whole_uri_comes_from_the_environment(mongod, collection, draw_of):
    from urllib.parse import quote_plus

    os.environ["MONGO_PASSWORD"] = (
        f"mongodb://reader:{quote_plus(PASSWORD)}@127.0.0.1:{mongod.port}/?authSource=admin"
    )
    collection.insert_one(document())
    text = f"""
kind = "mongodb"
[connection]
database = "monitoring"
collection = "{collection.name}"
uri_env = "MONGO_PASSWORD"
direct = true
"""
    assert servers_of(draw_of(text.encode()).run(NOW, None)) == ["db1"]
