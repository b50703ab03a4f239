"""What the writer takes from the inbox for one transaction, gathered by table and in order."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.inbox.segment import SegmentRefused
from storage.inbox.validation import ValidationResult, validate
from storage.model.schema import Schema, Table
from storage.platform.error_text import bounded

__all__ = ["CommitBatch", "RejectedSegment", "Spans", "distinct", "read_inbox", "spans", "steps"]

# Each server with the times of its first and last row [µs since 1970].
Spans = dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class RejectedSegment:
    """A file of which nothing was taken."""

    path: Path
    reason: str


@dataclass(frozen=True)
class CommitBatch:
    """Segments whose batches are new, and files that were rejected."""

    fresh: Sequence[ValidationResult]
    rejected: Sequence[RejectedSegment]
    schema: Schema

    def of(self, table_name: str) -> list[ValidationResult]:
        """The segments for one table."""
        return [a for a in self.fresh if a.provenance.table == table_name]

    def rows(self, target: Table) -> pa.Table:
        """All rows for a table in the order of its key; `_batch` counts the segments."""
        return self._gathered(target.name)

    def spans(self, target: Table) -> Spans:
        """From when to when there are rows of each server, for a table whose key begins with it."""
        return self._spans(target.name)

    @cached_property
    def _gathered(self) -> Callable[[str], pa.Table]:
        return cache(lambda name: _gather(self.of(name), self.schema.table(name)))

    @cached_property
    def _spans(self) -> Callable[[str], Spans]:
        return cache(lambda name: spans(self._gathered(name), self.schema.table(name).time))


def _gather(segments: Sequence[ValidationResult], target: Table) -> pa.Table:
    parts = [
        a.rows.append_column("_batch", pa.array(np.full(a.rows.num_rows, i, np.int32)))
        for i, a in enumerate(segments)
    ]
    if not parts:
        return target.arrow.empty_table()
    together = pa.concat_tables(parts)
    order = [(name, "ascending") for name in target.key or (target.time,)]
    places = pc.sort_indices(together, order)
    # To move lists about costs more than to look whether that is needed.
    return together if bool(np.all(np.diff(places) == 1)) else together.take(places)


def read_inbox(
    paths: Iterable[Path], now: datetime, schema: Schema
) -> tuple[list[ValidationResult], list[RejectedSegment]]:
    """The files that may be committed, and those that may not."""
    admitted: list[ValidationResult] = []
    rejected: list[RejectedSegment] = []
    for path in paths:
        try:
            admitted.append(validate(path, now, schema))
        except SegmentRefused as error:
            rejected.append(RejectedSegment(path, bounded(str(error))))
    return admitted, rejected


def spans(rows: pa.Table, time: str = "ts") -> Spans:
    """The span of each server in rows that are in the order of the servers."""
    if not rows.num_rows:
        return {}
    first = np.flatnonzero(np.append(True, steps(rows, ["server"])))
    times = np.asarray(rows[time].cast(pa.int64()))
    servers = rows["server"].take(pa.array(first)).to_pylist()
    earliest, latest = np.minimum.reduceat(times, first), np.maximum.reduceat(times, first)
    return dict(zip(servers, zip(earliest.tolist(), latest.tolist(), strict=True), strict=True))


def distinct(rows: pa.Table, key: Iterable[str]) -> bool:
    """Whether no two of these rows, which are in the order of `key`, have the same."""
    return bool(steps(rows, key).all())


def steps(rows: pa.Table, key: Iterable[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each row but the first, whether its key is another than that of the row before."""
    other = np.zeros(max(rows.num_rows - 1, 0), np.bool_)
    for name in key:
        values = rows[name].combine_chunks()
        changed = pc.not_equal(values.slice(1), values.slice(0, len(other)))
        other |= np.asarray(pc.fill_null(changed, False))
    return other
