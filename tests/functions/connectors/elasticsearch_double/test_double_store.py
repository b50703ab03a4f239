"""The double itself: it accepts, rejects, counts and compares like a server."""

import json
from collections.abc import Iterator

import pytest
from elasticsearch import Elasticsearch, NotFoundError

from tests.functions.connectors.elasticsearch.elastic_rig import document
from tests.functions.connectors.elasticsearch_double.http_front import HttpFront
from tests.functions.connectors.elasticsearch_double.index_writer import IndexWriter, backend


@pytest.fixture(scope="module")
def writer() -> Iterator[IndexWriter]:
    front = HttpFront(backend())
    front.open()
    writer = IndexWriter(front)
    yield writer
    writer.close()
    front.close()


@pytest.mark.parametrize(
    ("search", "status", "message"),
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
def test_a_search_that_a_server_rejects_is_rejected(writer, search, status, message):
    index = writer.index(ts="date", words="text")
    writer.put(index, [document()])
    client = writer.client.options(ignore_status=(400, 404))
    path, headers = f"/{index}/_search", {"content-type": "application/json"}
    answer = client.perform_request(
        "POST", path, headers=headers | {"accept": "application/json"}, body=search
    )
    assert answer.meta.status == status
    assert message in json.dumps(answer.body)


@pytest.fixture(scope="module")
def many(writer: IndexWriter) -> tuple[Elasticsearch, str]:
    """An index with a document at each of 12,001 milliseconds."""
    index = writer.index()
    writer.put(index, [{"ts": 1778068800000 + i} for i in range(12_001)])
    return writer.client, index


@pytest.mark.parametrize(
    ("bounds", "count"),
    [
        ({"gte": 1778068800000, "format": "epoch_millis"}, 12_001),
        ({"gt": 1778068800000, "format": "epoch_millis"}, 12_000),
        ({"lt": "2026-05-06T12:00:02Z"}, 2000),
        ({"lte": "2026-05-06T14:00:02", "time_zone": "+02:00"}, 2001),
        ({"gte": "now-1h"}, 0),
    ],
)
def test_ranges_are_compared_and_hits_counted_like_a_server(many, bounds, count):
    client, index = many
    counted = client.search(index=index, query={"range": {"ts": bounds}}, track_total_hits=True)
    capped = client.search(index=index, query={"range": {"ts": bounds}})
    assert counted["hits"]["total"] == {"value": count, "relation": "eq"}
    relation = "gte" if count > 10_000 else "eq"
    assert capped["hits"]["total"] == {"value": min(count, 10_000), "relation": relation}


def test_a_point_in_time_does_not_see_later_documents(writer):
    index = writer.index()
    writer.put(index, [document()])
    pit_id = writer.client.open_point_in_time(index=index, keep_alive="1m")["id"]
    writer.put(index, [document(1)])
    seen = writer.client.search(pit={"id": pit_id, "keep_alive": "1m"}, sort=[{"ts": "asc"}])
    assert len(seen["hits"]["hits"]) == 1
    assert writer.client.close_point_in_time(id=seen["pit_id"])["num_freed"] >= 1
    with pytest.raises(NotFoundError, match="search_context_missing_exception"):
        writer.client.search(pit={"id": pit_id, "keep_alive": "1m"}, sort=[{"ts": "asc"}])
