"""HTTP transport: a deadline for the whole response, and JSON only."""

import time

import pytest
from elastic_transport import ConnectionError as NotConnected
from elastic_transport import ConnectionTimeout, HttpHeaders, NodeConfig, SerializationError

from functions.connectors.elasticsearch import http_node
from functions.connectors.elasticsearch.http_node import DeadlineHttpNode, JsonOnlySerializer
from tests.functions.connectors.elasticsearch.elastic_rig import names
from tests.functions.connectors.elasticsearch_double.http_front import Changed, Dripping, Hung
from tests.functions.connectors.elasticsearch_double.index_writer import PASSWORD, USER, base64_of


@pytest.fixture
def get(front):
    """Sends a request for an index list; returns its response."""
    node = DeadlineHttpNode(NodeConfig("http", "127.0.0.1", int(front.url.rpartition(":")[2])))
    credentials = HttpHeaders({"authorization": f"Basic {base64_of(f'{USER}:{PASSWORD}')}"})

    def send(timeout: float):
        target = "/_resolve/index/hoursight-*"
        return node.perform_request("GET", target, None, credentials, request_timeout=timeout)

    yield send
    node.close()


def test_a_response_in_time_is_complete(writer, get):
    index = writer.index()
    response = get(10)
    assert response.meta.status == 200
    assert index.encode() in response.body


def test_a_response_of_several_megabytes_is_complete(front, get):
    front.fail(Changed(names=names(200_000)), where="_resolve")
    body = get(30).body
    assert len(body) > 1 << 20
    assert body.endswith(b'"s199999"]}')


def test_a_response_that_is_too_large_is_not_read_to_its_end(front, get, monkeypatch):
    front.fail(Changed(names=names(200_000)), where="_resolve")
    monkeypatch.setattr(http_node, "MAX_ANSWER_BYTES", 1 << 20)
    with pytest.raises(NotConnected, match="the response is larger than"):
        get(30)


def test_a_response_that_arrives_byte_by_byte_ends_at_the_timeout(front, get):
    front.fail(Dripping(), where="_resolve")
    started = time.monotonic()
    with pytest.raises(ConnectionTimeout):
        get(0.3)  # each byte comes within it, the whole response does not
    assert time.monotonic() - started >= 0.3


def test_no_response_ends_at_the_timeout_and_the_node_still_works(front, get):
    front.fail(Hung(), where="_resolve")
    with pytest.raises(ConnectionTimeout):
        get(0.2)
    assert get(10).meta.status == 200


def test_a_refused_connection_is_not_reported_as_a_timeout():
    node = DeadlineHttpNode(NodeConfig("http", "127.0.0.1", 1))
    with pytest.raises(NotConnected, match="refused"):
        node.perform_request("GET", "/", None, None, request_timeout=10)
    node.close()


def test_text_in_place_of_json_is_rejected_with_its_beginning():
    serializer = JsonOnlySerializer()
    with pytest.raises(SerializationError, match=r"text in place of JSON: '<html>Bad"):
        serializer.loads(b"<html>Bad Gateway \xff" + b"x" * 100)
