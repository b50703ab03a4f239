"""Elasticsearch reader over HTTP and HTTPS, against a protocol double that plays failures.

The same tests run against a real server when these variables are set; they only use indices with
names like `hoursight-test-*`:

    ELASTICSEARCH_URL        such as https://127.0.0.1:9200; failures are played before the server
    ELASTICSEARCH_USER       may create, fill and delete such indices, data streams and templates
    ELASTICSEARCH_PASSWORD
    ELASTICSEARCH_CA_FILE    if the authority of its certificate is not a known one
    ELASTICSEARCH_API_KEY    as id:key, for the test of API keys
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.connectors.source_file import read_source
from storage.config.folders import Folders
from tests.conftest import NOW
from tests.functions.connectors.connector_contract import Contract, Rig
from tests.functions.connectors.elasticsearch.elastic_rig import (
    ElasticRig,
    document,
    names,
    source_text,
)
from tests.functions.connectors.elasticsearch_double.http_front import HttpFront
from tests.functions.connectors.source_reads import read_all, rows_of, servers_of


class TestElasticsearch(Contract):
    @pytest.fixture
    def rig(self, secured: tuple[HttpFront, Path]) -> Iterator[Rig]:
        rig = ElasticRig(*secured)
        yield rig
        rig.writer.close()


def servers(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["server"] for row in rows)


def test_each_poll_hands_over_only_new_documents(front, writer, open_read):
    index = writer.index()
    read = open_read(source_text(front, index))
    writer.put(index, [document(0, "first")])
    first, cursor = read_all(read)
    writer.put(index, [document(5, "second"), document(-100, "late")])
    second, _ = read_all(read, cursor, NOW + timedelta(seconds=40))
    assert (servers(first), servers(second)) == (["first"], ["late", "second"])


@pytest.mark.parametrize("page", [1, 7])
def test_a_time_with_more_documents_than_a_page_is_read_completely_by_each_process(
    front, writer, open_read, page
):
    index = writer.index()
    writer.put(index, [document(0, name) for name in names(30)])
    text = source_text(front, index, f"page = {page}")
    first, cursor = read_all(open_read(text))
    writer.put(index, [document(0, "same time"), document(5, "next")])
    again, _ = read_all(open_read(text), cursor)
    assert servers(first) == names(30)
    assert servers(again) == sorted([*names(30), "same time", "next"])


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
def test_dates_nanoseconds_and_numbers_are_times(front, writer, open_read, kind, form, value):
    index = writer.index(ts=kind)
    mapping = f'stock = "flat"\n[mapping.time]\nfield = "ts"\nformat = "{form}"'
    read = open_read(source_text(front, index, mapping=mapping))
    writer.put(index, [document(ts=value)])
    batch = read.run(NOW, None)
    assert [row["ts"].isoformat()[:22] for row in rows_of(batch)] == ["2026-05-06T12:00:05.25"]
    assert json.loads(batch.cursor)["position"] == {"at": 1778068805250}
    assert not read.run(NOW, batch.cursor).row_count


def test_a_document_from_the_future_is_rejected_and_does_not_move_the_position(
    front, writer, open_read
):
    index = writer.index()
    read = open_read(source_text(front, index))
    writer.put(index, [document(0, "good"), document(10**6, "ahead")])
    batch = read.run(NOW, None)
    writer.put(index, [document(5, "next")])
    assert "ahead" not in json.dumps(batch.cursor)
    assert servers_of(read.run(NOW + timedelta(seconds=5), batch.cursor)) == ["next"]


def test_metricbeat_in_a_data_stream_becomes_rows_without_a_mapping(front, writer, open_read):
    stream = writer.stream()
    read = open_read(source_text(front, stream, mapping=""))
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
    row = rows_of(read.run(NOW, None))[0]
    assert (row["server"], row["ts"]) == ("web1", NOW.replace(second=0))
    percent = {name: row[name] and round(row[name], 3) for name in row if name.endswith("_pct")}
    assert (percent["cpu_user_pct"], percent["cpu_idle_pct"]) == (25, 50)
    assert (percent["mem_used_pct"], percent["swap_used_pct"]) == (45.2, 0)
    assert percent["disk_usage_pct"] == 67
    assert (row["load_average"], row["net_in_mb_s"], row.get("java_cpu_pct")) == (1.5, 5, None)


def test_only_the_fields_of_the_mapping_are_fetched_and_nothing_is_written(front, writer, tmp_path):
    index = writer.index()
    writer.put(index, [document(0, unread="x" * 1000)])
    own_front = HttpFront(front.backend)  # sees no late request of another test
    own_front.open()
    text = source_text(own_front, index)
    connector = read_source("shop", text.encode(), Folders.at(tmp_path)).connect()
    (page,) = connector.pages(None, NOW)
    connector.close()
    own_front.close()
    requests = own_front.seen
    assert dict(page.documents[0]) == document(0)
    assert set(requests) <= {
        ("POST", f"/{index}/_field_caps"), ("POST", f"/{index}/_pit"), ("POST", "/_search"),
        ("DELETE", "/_pit"),
    }  # fmt: skip
    assert requests.count(("POST", f"/{index}/_pit")) == requests.count(("DELETE", "/_pit")) == 1
