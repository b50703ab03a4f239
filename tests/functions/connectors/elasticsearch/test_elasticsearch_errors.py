"""Errors of Elasticsearch: each is reported with its remedy, and loses no document."""

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError, NotFoundError
from elasticsearch import ConnectionError as NotConnected

from functions.connectors.elasticsearch.elasticsearch_connection import ElasticsearchConnection
from functions.connectors.elasticsearch.elasticsearch_errors import (
    EXPIRED,
    NO_INDEX,
    check_complete,
    is_of_kind,
    shard_errors,
    unreachable,
)
from functions.connectors.elasticsearch.http_node import TOO_LARGE
from functions.engine.function import Unreachable
from tests.conftest import NOW
from tests.functions.connectors.elasticsearch.elastic_rig import (
    IMPATIENT,
    ONE_SHARD_FAILED,
    PATIENT,
    document,
    names,
    numbered_documents,
    source_text,
    with_api_key,
)
from tests.functions.connectors.elasticsearch_double.http_front import (
    Changed,
    Dripping,
    Dropped,
    Fault,
    Html,
    Hung,
)
from tests.functions.connectors.elasticsearch_double.index_writer import REAL, IndexWriter
from tests.functions.connectors.source_reads import read_all, servers_of


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            Changed(_shards=ONE_SHARD_FAILED),
            r"1 of 4 shards of .* did not answer \(node_disconnected_exc",
        ),
        (Changed(timed_out=True), r"stopped the search .*timed_out.*write a longer timeout"),
        (Fault(429, "es_rejected_execution_exception"), r"rejected the search \(429\)"),
        (Fault(500, "search_phase_execution_exception"), "answered 500, search_phase_execution"),
        (Fault(502), "is not ready"),
        (Fault(503, "no_shard_available_action_exception"), "is not ready .503, no_shard_avail"),
        (Fault(504), "is not ready"),
        (Html(502), "not from Elasticsearch .*Bad Gateway"),
        (Html(200), "not from Elasticsearch .*Bad Gateway"),
        (Dropped(), "the connection was closed .*write https"),
        (Hung(), f"does not answer within {IMPATIENT}"),
        (Dripping(), f"does not answer within {IMPATIENT}"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_failure_is_reported_keeps_the_position_and_loses_nothing(
    front, writer, open_read, fault, message
):
    index = writer.index()
    writer.put(index, numbered_documents(30))
    timeout = IMPATIENT if IMPATIENT in message else PATIENT
    read = open_read(source_text(front, index, "page = 10", timeout=timeout))
    front.fail(fault)
    with pytest.raises(Unreachable, match=message):
        read.run(NOW, None)
    front.fail(fault, after=1)  # the first page counts
    batch = read.run(NOW, None)
    rest, _ = read_all(read, batch.cursor)
    assert (len(servers_of(batch)), batch.more) == (10, True)
    assert {*servers_of(batch), *(row["server"] for row in rest)} == set(names(30))


def test_a_wrong_api_key_is_reported_with_the_keys_to_check(front, writer, open_read, monkeypatch):
    monkeypatch.setenv("ELASTIC_KEY", "none:such")
    text = with_api_key(source_text(front, writer.index()))
    with pytest.raises(Unreachable, match=r"refused this API key \(401\): check .*api_key_env"):
        open_read(text).run(NOW, None)


@pytest.mark.skipif(bool(REAL), reason="the only known user of a real server may read all indices")
def test_a_user_without_the_privilege_learns_which_one_to_ask_for(front, open_read):
    with pytest.raises(Unreachable, match=r"user 'reader' may not read 'payroll' \(403\): .*read"):
        open_read(source_text(front, "payroll")).run(NOW, None)


def test_a_refused_connection_and_a_server_of_another_kind_are_reported(front, writer, open_read):
    text = source_text(front, writer.index())
    with pytest.raises(Unreachable, match=r"connection refused .*check hosts"):
        open_read(text.replace(front.url, "http://127.0.0.1:1")).run(NOW, None)
    front.product = False
    try:
        with pytest.raises(Unreachable, match="does not identify itself as Elasticsearch"):
            open_read(text).run(NOW, None)
    finally:
        front.product = True


def test_tls_that_does_not_fit_is_reported_with_the_keys_to_check(secured, front, open_read):
    server, folder = secured
    writer = IndexWriter(server, ca_certs=str(folder / "ca.pem"))
    index = writer.index()
    writer.put(index, [document()])
    text = source_text(server, index, f'fingerprint = "{"00" * 32}"')
    without_tls = source_text(server, index).replace("https", "http")
    to_http = text.replace(server.url, front.url.replace("http", "https"))
    for source, message in (
        (text, "TLS handshake failed .*check ca_file or fingerprint"),
        (without_tls, "the connection was closed .*if the server expects TLS, write https"),
        (to_http, "the server does not use TLS .*write http://"),
    ):
        with pytest.raises(Unreachable, match=message):
            open_read(source).run(NOW, None)
    writer.close()


def error(kind: type[ApiError], status: int, body: object) -> ApiError:
    meta = ApiResponseMeta(status, "1.1", HttpHeaders(), 0.1, NodeConfig("http", "a", 9200))
    return kind("error", meta, body)


def test_the_type_of_an_error_is_that_of_a_cause_and_only_with_status_404():
    body = {"error": {"type": "search_phase", "root_cause": [{"type": EXPIRED}]}, "status": 404}
    assert is_of_kind(error(NotFoundError, 404, body), EXPIRED)
    assert not is_of_kind(error(NotFoundError, 404, body), NO_INDEX)
    assert not is_of_kind(error(ApiError, 500, body), EXPIRED)
    assert not is_of_kind(error(NotFoundError, 404, "<html>"), EXPIRED)


def test_a_response_is_complete_unless_shards_failed_or_it_timed_out():
    check_complete({"_shards": {"total": 2, "failed": 0}, "timed_out": False}, "beats")
    assert shard_errors({"_shards": ONE_SHARD_FAILED}) == {"node_disconnected_exception"}
    with pytest.raises(Unreachable, match="1 of 4 shards of 'beats'"):
        check_complete({"_shards": ONE_SHARD_FAILED}, "beats")
    with pytest.raises(Unreachable, match="stopped the search in 'beats'"):
        check_complete({"timed_out": True}, "beats")


def test_an_answer_that_is_too_large_names_the_remedy():
    error = unreachable(NotConnected(TOO_LARGE), ElasticsearchConnection(index="x"))
    assert "larger than 64 MiB: write a smaller page" in str(error)
