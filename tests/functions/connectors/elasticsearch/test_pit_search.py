"""PIT search: pages in a total order, over points in time that expire."""

import pytest

from functions.connectors.elasticsearch.elasticsearch_connection import ElasticsearchConnection
from functions.connectors.elasticsearch.pit_search import PitSearch, TimeField
from functions.connectors.source_file import read_source
from functions.engine.function import Unreachable
from storage.config.folders import Folders
from tests.conftest import NOW
from tests.functions.connectors.elasticsearch.elastic_rig import (
    ONE_SHARD_FAILED,
    document,
    names,
    numbered_documents,
    source_text,
)
from tests.functions.connectors.elasticsearch_double.http_front import Changed, Fault, HttpFront
from tests.functions.connectors.elasticsearch_double.index_writer import PASSWORD, USER, base64_of

START_MS = int(NOW.timestamp() * 1000) - 3_600_000


@pytest.fixture
def search_of(writer):
    """Opens a search with pages of 10 over an index; closes all at the end."""
    opened = []

    def open_search(index: str, since_ms: int = START_MS, fields=("hostname",)) -> PitSearch:
        connection = ElasticsearchConnection(index, page=10)
        opened.append(PitSearch(writer.client, connection, TimeField("ts"), list(fields), since_ms))
        return opened[-1]

    yield open_search
    for search in opened:
        search.close()


def servers(hits) -> list[str]:
    return [hit["_source"]["hostname"] for hit in hits]


def test_pages_are_in_time_order_and_end_with_none(writer, search_of):
    index = writer.index()
    writer.put(index, list(reversed(numbered_documents(15))))
    search = search_of(index)
    first, second = search.page(), search.page()
    assert (len(first), len(second), search.page()) == (10, 5, None)
    assert set(servers(first)) | set(servers(second)) == set(names(15))
    assert [hit["sort"][0] for hit in first] == sorted(hit["sort"][0] for hit in first)


def test_only_documents_from_the_start_on_and_only_the_fields_are_read(writer, search_of):
    index = writer.index()
    writer.put(index, [document(0, "old"), document(5, "new")])
    search = search_of(index, since_ms=int(NOW.timestamp() * 1000) + 1)
    (hit,) = search.page()
    assert hit["_source"] == {"hostname": "new"}


def test_documents_that_come_after_the_start_are_left_to_the_next_search(writer, search_of):
    index = writer.index()
    writer.put(index, numbered_documents(10))
    search = search_of(index)
    search.page()
    writer.put(index, [document(0, "later")])
    assert search.page() is None
    assert "later" in servers(search_of(index, since_ms=START_MS + 3_600_000).page())


def test_a_time_field_converts_its_unit_to_milliseconds():
    microseconds = TimeField("ts", per_ms=1e3)
    assert microseconds.ms({"sort": [1_778_068_805_250_400, 7]}) == 1_778_068_805_250
    assert microseconds.query_since(5) == {"range": {"ts": {"gte": 5000}}}
    assert TimeField("ts").query_since(5)["range"]["ts"]["format"] == "epoch_millis"


@pytest.mark.parametrize("partly", [False, True])
def test_a_point_in_time_that_expires_in_the_middle_loses_and_repeats_nothing(
    front, writer, tmp_path, partly
):
    index = writer.index()
    same_time = [f"t{i}" for i in range(25)]
    writer.put(index, [*numbered_documents(40), *[document(0, name) for name in same_time]])
    text = source_text(front, index, "page = 10")
    connector = read_source("shop", text.encode(), Folders.at(tmp_path)).connect()
    read: list[str] = []
    for number, page in enumerate(connector.pages(None, NOW)):
        read += [each["hostname"] for each in page.documents]
        if number in (2, 5):  # between different times, and between documents of one time
            _expire(front, partly)
    connector.close()
    assert sorted(read) == sorted([*names(40), *same_time])


def _expire(front: HttpFront, partly: bool) -> None:
    if partly:  # on some shards: the others answer, with status 200
        failure = {"shard": 0, "reason": {"type": "search_context_missing_exception"}}
        front.fail(Changed(_shards=ONE_SHARD_FAILED | {"failures": [failure]}))
        return
    front.expire({"Authorization": f"Basic {base64_of(f'{USER}:{PASSWORD}')}"})


def test_points_in_time_that_always_expire_are_reported_with_the_remedy(front, writer, search_of):
    search = search_of(writer.index())
    for _ in range(4):
        front.fail(Fault(404, "search_context_missing_exception"))
    message = "3 points in time of .* in a row expired before a page was read: write a smaller page"
    with pytest.raises(Unreachable, match=message):
        search.page()
