"""Each way in completes the rows that any other has begun."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import product

import pyarrow as pa

from functions.ingest.ingest_service import IngestService
from functions.ingest.remote_write import WriteRequest
from functions.normalize.mapper import Mapper
from functions.normalize.mapping import read_mapping
from storage.config.folders import Folders
from storage.inbox import segment
from storage.ipc.push_protocol import Push
from tests.conftest import NOW, LakeFixture

NS, MS = int(NOW.timestamp() * 1e9), int(NOW.timestamp() * 1e3)
LOAD, MEMORY = "load_average", "mem_used_pct"
SERIES = {
    LOAD: {"node_load1": 2.0},
    MEMORY: {"node_memory_MemTotal_bytes": 100.0, "node_memory_MemAvailable_bytes": 25.0},
}
VALUES = {LOAD: 2.0, MEMORY: 75.0}


def push(folders: Folders, kind: str, body: bytes, encoding: str = "identity") -> None:
    service = IngestService(folders, clock=lambda: NOW)
    status, answer = service.handle(Push(kind, body, encoding).packed())
    assert status in (200, 204), answer
    for buffer in service.buffers.values():
        for _ in range(2):
            buffer.flush()


def by_records(folders: Folders, servers: Sequence[str], metric: str) -> None:
    records = [{"server": s, "ts": NOW.isoformat(), metric: VALUES[metric]} for s in servers]
    push(folders, "records", json.dumps(records).encode())


def by_lines(folders: Folders, servers: Sequence[str], metric: str) -> None:
    lines = "\n".join(f"m,host={server} {metric}={VALUES[metric]} {NS}" for server in servers)
    push(folders, "lines", lines.encode())


def by_remote_write(folders: Folders, servers: Sequence[str], metric: str) -> None:
    request = WriteRequest()
    for server, (name, value) in product(servers, SERIES[metric].items()):
        series = request.timeseries.add()
        for label, text in (("__name__", name), ("instance", server)):
            series.labels.add(name=label, value=text)
        series.samples.add(value=value, timestamp=MS)
    body = pa.compress(request.SerializeToString(), codec="snappy", asbytes=True)
    push(folders, "remote_write", bytes(body), "snappy")


def by_documents(folders: Folders, servers: Sequence[str], metric: str) -> None:
    """As files, MongoDB, Elasticsearch and Prometheus do."""
    documents = [{"ts": NOW, "server": server, metric: VALUES[metric]} for server in servers]
    rows = Mapper(read_mapping({}), "shop").map(documents).rows
    segment.write(folders, rows, segment.Provenance("metrics", "shop", NOW))


WAYS: dict[str, Callable[[Folders, Sequence[str], str], None]] = {
    "records": by_records, "lines": by_lines, "series": by_remote_write,
    "documents": by_documents,
}  # fmt: skip


def test_any_way_in_completes_the_rows_of_any_other(house: LakeFixture) -> None:
    for name, first in WAYS.items():
        first(house.folders, [f"{name}-{other}" for other in WAYS], LOAD)
    house.commit()
    for name, later in WAYS.items():
        later(house.folders, [f"{other}-{name}" for other in WAYS], MEMORY)
    house.commit(NOW + timedelta(seconds=5))
    rows = house.reader.query("SELECT server, load_average, mem_used_pct FROM metrics")
    pairs = {(row["load_average"], row["mem_used_pct"]) for row in rows.to_pylist()}
    assert (rows.num_rows, pairs) == (len(WAYS) ** 2, {(2.0, 75.0)})
    assert house.one("SELECT sum(values_repeated) FROM segments") == 0


def test_what_another_way_in_has_brought_is_counted_as_repeated_and_stays(
    house: LakeFixture,
) -> None:
    for way in WAYS.values():
        way(house.folders, ["a"], LOAD)
        house.commit()
    by_records(house.folders, ["a"], LOAD)
    house.commit()
    assert house.one("SELECT sum(values_repeated) FROM segments") == len(WAYS)
    assert house.one("SELECT source FROM metrics") == "feed"
