"""Benchmark from documents to segments, without a server: mapping, checks, segment.

The limit beside it: the same number of rows written as a segment from ready columns.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from functions.connectors.connector import Page
from functions.connectors.incremental_read import IncrementalRead, function_of
from functions.connectors.source_file import source_from_dict
from functions.engine.runner import Runner
from functions.normalize.mapper import Mapper
from functions.normalize.mapping import read_mapping
from scripts.tools.bench.measure import Figure
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.inbox import segment
from storage.model.metrics import METRIC_NAMES

__all__ = ["figures"]

SERVERS = 1000
STEPS = 100
START = datetime(2026, 5, 6, tzinfo=UTC)


class DocumentsInMemory:
    """A connector of documents that are in memory."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self._documents = documents

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:  # noqa: ARG002
        """Yield pages of 10,000 documents."""
        for start in range(position or 0, len(self._documents), 10_000):
            end = start + 10_000
            yield Page(self._documents[start:end], end)

    def close(self) -> None:
        """Nothing to close."""


def flat() -> list[dict[str, Any]]:
    """Return documents with all metrics by their flat names."""
    values = np.random.default_rng(1).uniform(0, 50, (STEPS, SERVERS, len(METRIC_NAMES))).round(2)
    return [
        {"timestamp": START + timedelta(seconds=5 * t), "server_name": f"server{s:04}"}
        | dict(zip(METRIC_NAMES, values[t, s].tolist(), strict=True))
        for t in range(STEPS) for s in range(SERVERS)
    ]  # fmt: skip


def nested() -> list[dict[str, Any]]:
    """Return documents as Metricbeat sends them: five make a row of a server."""
    docs = []
    for t in range(STEPS // 5):
        at = (START + timedelta(seconds=10 * t)).isoformat()
        for s in range(SERVERS):
            parts = (
                {
                    "cpu": {
                        "user": {"norm": {"pct": 0.2}},
                        "idle": {"norm": {"pct": 0.7}},
                        "cores": 8,
                    }
                },
                {"memory": {"actual": {"used": {"pct": 0.4}}, "swap": {"used": {"pct": 0}}}},
                {"load": {"1": 1.5}},
                {"network": {"name": "eth0", "in": {"bytes": 1e6 * t}, "out": {"bytes": 2e6 * t}}},
                {"filesystem": {"mount_point": "/", "used": {"pct": 0.6}}},
            )
            docs += [
                {"@timestamp": at, "host": {"name": f"server{s:04}"}, "system": part}
                for part in parts
            ]  # fmt: skip
    return docs


def figures() -> Iterator[Figure]:
    """Measure documents a second end to end, with the mapping alone, and bare segments."""
    for name, docs in (("flat", flat()), ("metricbeat", nested())):
        mapper = Mapper(read_mapping({"stock": name}), "bench")
        rate = len(docs) / _best(partial(_end_to_end, docs, name))
        bare = len(docs) / _best(partial(_write_only, len(docs)))
        goal = 60_000 if name == "flat" else 20_000
        yield Figure(
            f"{name}: map, check, segment", rate, "docs/s", goal, "bare segment, rows/s", bare,
            at_least=True,
        )  # fmt: skip
        alone = len(docs) / _best(partial(mapper.map, docs))
        yield Figure(f"{name}: mapping alone", alone, "docs/s", goal, at_least=True)


def _best(call: Callable[[], Any], times: int = 3) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return min(took)


def _end_to_end(documents: list[dict[str, Any]], stock: str) -> None:
    with TemporaryDirectory() as data:
        folders = Folders.at(data).create()
        raw = {"kind": "files", "mapping": {"stock": stock}}
        source = source_from_dict("bench", raw, folders)
        function = function_of(
            IncrementalRead(source, connect=lambda: DocumentsInMemory(documents)), source, "bench"
        )
        runner = Runner(folders, Settings())
        while (done := runner.run(function, "bench")).batch.more:
            assert done.error is None
        assert done.error is None


def _write_only(count: int) -> None:
    columns: dict[str, Any] = {name: np.full(count, 1.0, np.float32) for name in METRIC_NAMES}
    columns["server"] = pa.array([f"server{i % SERVERS:04}" for i in range(count)])
    columns["ts"] = pa.array(np.arange(count) * 1_000_000, pa.timestamp("us", "UTC"))
    with TemporaryDirectory() as data:
        folders = Folders.at(data).create()
        segment.write(folders, pa.table(columns), segment.Provenance("metrics", "bench", START))
