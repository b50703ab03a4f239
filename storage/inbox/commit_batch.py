"""Commit batch: the segments that one transaction commits, gathered by table and sorted by key."""

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
    """A file of the inbox that was rejected whole, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class CommitBatch:
    """Segments to be committed, none of which was before, and files that were rejected."""

    segments: Sequence[ValidationResult]
    rejected: Sequence[RejectedSegment]
    schema: Schema

    def for_table(self, table_name: str) -> list[ValidationResult]:
        """The segments for one table."""
        return [s for s in self.segments if s.provenance.table == table_name]

    def rows(self, target: Table) -> pa.Table:
        """All rows for a table, sorted by its key; `_batch` is the number of the row's segment."""
        return self._gathered(target.name)

    def spans(self, target: Table) -> Spans:
        """The first and last time of each server's rows, for a table whose key begins with it."""
        return self._spans(target.name)

    @cached_property
    def _gathered(self) -> Callable[[str], pa.Table]:
        return cache(lambda name: _gather(self.for_table(name), self.schema.table(name)))

    @cached_property
    def _spans(self) -> Callable[[str], Spans]:
        return cache(lambda name: spans(self._gathered(name), self.schema.table(name).time))


def _gather(segments: Sequence[ValidationResult], target: Table) -> pa.Table:
    parts = [
        s.rows.append_column("_batch", pa.array(np.full(s.rows.num_rows, i, np.int32)))
        for i, s in enumerate(segments)
    ]
    if not parts:
        return target.arrow.empty_table()
    rows = pa.concat_tables(parts)
    order = [(name, "ascending") for name in target.key or (target.time,)]
    places = pc.sort_indices(rows, order)
    # Moving the lists of forecasts costs more than checking whether they are sorted already.
    return rows if bool(np.all(np.diff(places) == 1)) else rows.take(places)


def read_inbox(
    paths: Iterable[Path],
    now: datetime,
    schema: Schema,
    refuses: Callable[[str], bool] = lambda _: False,
) -> tuple[list[ValidationResult], list[RejectedSegment]]:
    """Validate files of the inbox: those that can be committed, and those that are rejected."""
    valid: list[ValidationResult] = []
    rejected: list[RejectedSegment] = []
    for path in paths:
        try:
            valid.append(validate(path, now, schema, refuses))
        except SegmentRefused as error:
            rejected.append(RejectedSegment(path, bounded(str(error))))
    return valid, rejected


def spans(rows: pa.Table, time: str = "ts") -> Spans:
    """The first and last time of each server's rows; `rows` must be sorted by server."""
    if not rows.num_rows:
        return {}
    first = np.flatnonzero(np.append(True, steps(rows, ["server"])))
    times = np.asarray(rows[time].cast(pa.int64()))
    servers = rows["server"].take(pa.array(first)).to_pylist()
    earliest, latest = np.minimum.reduceat(times, first), np.maximum.reduceat(times, first)
    return dict(zip(servers, zip(earliest.tolist(), latest.tolist(), strict=True), strict=True))


def distinct(rows: pa.Table, key: Iterable[str]) -> bool:
    """Return True if no two rows have the same `key`; `rows` must be sorted by it."""
    return bool(steps(rows, key).all())


def steps(rows: pa.Table, key: Iterable[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each row's key differs from that of the row before: [rows - 1], without the first."""
    other = np.zeros(max(rows.num_rows - 1, 0), np.bool_)
    for name in key:
        values = rows[name].combine_chunks()
        changed = pc.not_equal(values.slice(1), values.slice(0, len(other)))
        other |= np.asarray(pc.fill_null(changed, False))
    return other
