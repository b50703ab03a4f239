"""Validation of segments: which files, rows and values are accepted, and why others are not."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.config.deleted_servers import REFUSED
from storage.inbox.segment import Provenance, SegmentRefused, open_segment
from storage.model.metrics import Metric, check_range
from storage.model.names import check_names, erased_name
from storage.model.precision import rounded
from storage.model.reject_log import RejectLog, RejectReason
from storage.model.schema import STOCK, TIMESTAMP, Schema, Table, UnknownTable
from storage.model.time_limits import TimeLimits, TimeRange, utc_text

__all__ = ["ValidationResult", "validate", "with_derived_idle"]

Mask = npt.NDArray[np.bool_]

# Segments written before the clock was set back seem to come from the future.
MAX_CLOCK_JUMP = timedelta(days=1)
# Tables whose rows sources and senders write; all others follow from these.
FROM_SENDERS = ("metrics", "server_facts")
CPU_PARTS = ("cpu_user_pct", "cpu_sys_pct", "cpu_iowait_pct", "cpu_idle_pct")
CPU_SUM_EXPECTED = (90.0, 105.0)


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """A segment to commit: valid `rows` with the table's columns, and reasons for the others."""

    path: Path
    provenance: Provenance
    rows: pa.Table
    rows_in: int
    refused: int
    reasons: tuple[str, ...]
    clamped: int = 0


def validate(
    path: Path,
    now: datetime,
    schema: Schema = STOCK,
    refuses: Callable[[str], bool] = lambda _: False,
) -> ValidationResult:
    """Read and validate one file of the inbox. Raises SegmentRefused if it is rejected whole.

    `refuses` says which servers are not taken because they were deleted.
    Times are compared with the later of `now` and the segment's creation, because this host's clock
    may have been set back since.
    """
    provenance, parquet = open_segment(path)
    _check_clock(provenance.created_at, now)
    try:
        target = schema.table(provenance.table)
    except UnknownTable as error:
        raise SegmentRefused(str(error)) from error
    try:
        rows = parquet.read()
        rows.validate(full=True)  # text that is not UTF-8 would stop the engine later
    except (pa.ArrowException, OSError) as error:
        raise SegmentRefused(f"truncated or damaged: {error}") from error
    validation = _RowValidation(_fitted(rows, target))
    validation.check_names(target)
    validation.drop_incomplete(target)
    if target.name in FROM_SENDERS:
        validation.drop_deleted(refuses)
    if target.name == "metrics":
        validation.drop_impossible_times(schema.times, provenance.created_at, now)
        validation.check_ranges(schema.metrics)
        validation.rows = with_derived_idle(validation.rows)
        validation.flag_cpu_sums()
        validation.drop_empty(schema.metrics)
    kept = rounded(validation.rows, target.name, schema.metrics)
    rejects = validation.rejects
    reasons = tuple(_sentence(each) for each in rejects.ranked())
    return ValidationResult(
        path, provenance, kept, rows.num_rows, rejects.count, reasons, rejects.clamped
    )


def with_derived_idle(rows: pa.Table) -> pa.Table:
    """Rows of `metrics` with the idle CPU that their other parts leave, where it is missing."""
    user, system, iowait, idle = (rows[name] for name in CPU_PARTS)
    rest = pc.subtract(100.0, pc.add(pc.add(user, system), iowait))
    derived = pc.cast(pc.max_element_wise(rest, 0.0, skip_nulls=False), pa.float32())
    place = rows.column_names.index("cpu_idle_pct")
    return rows.set_column(place, "cpu_idle_pct", pc.coalesce(idle, derived))


def _check_clock(created_at: datetime, now: datetime) -> None:
    if created_at - now > MAX_CLOCK_JUMP:
        raise SegmentRefused(
            f"written at {created_at.isoformat(timespec='seconds')}, and here it is "
            f"{now.isoformat(timespec='seconds')}: set this host's clock, then move the file back "
            "to the inbox"
        )


def _fitted(rows: pa.Table, target: Table) -> pa.Table:
    """`rows` with the table's columns and types. Raises SegmentRefused, which names the column."""
    unknown = [name for name in rows.column_names if name not in target.names]
    if unknown:
        raise SegmentRefused(
            f"wrong column {unknown[0]!r}: {target.name} has {', '.join(target.names)}"
        )
    if len(set(rows.column_names)) < len(rows.column_names):
        raise SegmentRefused("a column comes twice")
    missing = [c.name for c in target.columns if c.required and c.name not in rows.column_names]
    if missing:
        raise SegmentRefused(f"column {missing[0]!r} of {target.name} is missing")
    columns = [_column(rows, column.name, column.type) for column in target.columns]
    return pa.Table.from_arrays(columns, names=list(target.names))


def _column(rows: pa.Table, name: str, expected: pa.DataType) -> pa.ChunkedArray:
    if name not in rows.column_names:
        return pa.chunked_array([pa.nulls(rows.num_rows, expected)])
    values = rows[name]
    if not _is_compatible(values.type, expected):
        example = next((v for v in values.to_pylist() if v is not None), None)
        raise SegmentRefused(
            f"column {name!r} holds {values.type} (such as {example!r}), expected {expected}"
            + (": give the time a zone" if expected == TIMESTAMP else "")
        )
    try:
        return values.cast(expected)
    except pa.ArrowException as error:
        raise SegmentRefused(f"column {name!r} does not fit {expected}: {error}") from error


def _is_compatible(given: pa.DataType, expected: pa.DataType) -> bool:
    """Return True if values of one type can be cast to the other without reinterpretation."""
    types = pa.types
    if types.is_null(given) or types.is_nested(expected):
        return True
    if types.is_timestamp(expected):
        return bool(types.is_timestamp(given) and given.tz is not None)
    if types.is_boolean(expected):
        return bool(types.is_boolean(given))
    if types.is_string(expected):
        return bool(types.is_string(given) or types.is_large_string(given))
    return bool(types.is_floating(given) or types.is_integer(given))


class _RowValidation:
    """The rows that are still valid, and the rejects."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows
        self.rejects = RejectLog()

    def check_names(self, target: Table) -> None:
        checked = check_names(self.rows, target.columns)
        self.rows = checked.rows
        for reason in checked.reasons:
            self.rejects.add(reason, "", 0)
        self.rejects.count += checked.refused

    def drop_incomplete(self, target: Table) -> None:
        for column in target.columns:
            if column.required and self.rows[column.name].null_count:
                absent = pc.is_null(self.rows[column.name])
                self._drop(absent, lambda _, name=column.name: f"{name}: missing; a row needs it")

    def drop_deleted(self, refuses: Callable[[str], bool]) -> None:
        names = self.rows["server"]
        for server in filter(refuses, pc.unique(names).to_pylist()):
            reason = f"{erased_name(server)}: {REFUSED}"
            self._drop(pc.equal(names, server), lambda _, reason=reason: reason)
            names = self.rows["server"]

    def drop_impossible_times(self, times: TimeLimits, created_at: datetime, now: datetime) -> None:
        oldest, newest = times.at(min(now, created_at)), times.at(max(now, created_at))
        since_epoch_us = self.rows["ts"].cast(pa.int64())
        for outside, limits in (
            (pc.less(since_epoch_us, oldest.earliest_us), oldest),
            (pc.greater(since_epoch_us, newest.latest_us), newest),
        ):
            self._drop(outside, lambda row, limits=limits: _time_problem(row, limits, now))

    def check_ranges(self, metrics: Iterable[Metric]) -> None:
        for metric in metrics:
            values = self.rows[metric.name]
            sent, absent = np.asarray(values), np.asarray(pc.is_null(values))
            check = check_range(metric, sent, absent)
            if check.impossible.any():
                self._refuse(metric, check.impossible)
            if check.clamped.any():
                self._note_clamped(metric, check.clamped)
            if check.values is not sent:
                kept = pa.array(check.values, pa.float32(), mask=absent | check.impossible)
                self._set(metric.name, pa.chunked_array([kept]))

    def flag_cpu_sums(self) -> None:
        first, *others = (self.rows[name] for name in CPU_PARTS)
        total = first
        for part in others:
            total = pc.add(total, part)
        low, high = CPU_SUM_EXPECTED
        odd = pc.fill_null(pc.or_(pc.less(total, low), pc.greater(total, high)), False)
        count = pc.sum(odd).as_py() or 0
        if count:
            example = total.filter(odd)[0].as_py()
            what = f"kept, but odd: user + sys + iowait + idle is {example:.1f} in {count} rows"
            self.rejects.add(what, "", 0)

    def drop_empty(self, metrics: Iterable[Metric]) -> None:
        if any(not self.rows[metric.name].null_count for metric in metrics):
            return
        empty = None
        for metric in metrics:
            absent = pc.is_null(self.rows[metric.name])
            empty = absent if empty is None else pc.and_(empty, absent)
        self._drop(empty, lambda row: f"{row['server']}: no reading is left in the row")

    def _drop(self, mask: pa.ChunkedArray, reason) -> None:  # type: ignore[no-untyped-def]
        count = pc.sum(mask).as_py() or 0
        if not count:
            return
        example = _plain_times(self.rows.filter(mask).slice(0, 1)).to_pylist()[0]
        self.rejects.add(reason(example), "", count)
        self.rows = self.rows.filter(pc.invert(mask))

    def _refuse(self, metric: Metric, mask: Mask) -> None:
        value, server = self._first(metric, mask)
        self.rejects.add(str(metric.refusal(value)), server, int(mask.sum()))

    def _note_clamped(self, metric: Metric, mask: Mask) -> None:
        value, server = self._first(metric, mask)
        what = f"{metric.name}: {metric.shown(value)} lies {metric.clamping}"
        self.rejects.clamp(what, server, int(mask.sum()))

    def _first(self, metric: Metric, mask: Mask) -> tuple[float, str]:
        """The first value in `mask`, and its server."""
        place = int(mask.argmax())
        return self.rows[metric.name][place].as_py(), self.rows["server"][place].as_py()

    def _set(self, name: str, values: pa.ChunkedArray) -> None:
        self.rows = self.rows.set_column(self.rows.column_names.index(name), name, values)


def _plain_times(rows: pa.Table) -> pa.Table:
    """`rows` with `ts` as microseconds since 1970: a wrong one may be no date of Python's."""
    place = rows.column_names.index("ts") if "ts" in rows.column_names else None
    return rows if place is None else rows.set_column(place, "ts", rows["ts"].cast(pa.int64()))


def _time_problem(row: dict[str, Any], limits: TimeRange, now: datetime) -> str:
    problem = limits.problem(row["ts"])
    assert problem is not None
    return (
        f"ts: {utc_text(row['ts'])} of {row['server']} {problem.reason} "
        f"(it is {now.isoformat(timespec='seconds')}); {problem.remedy}"
    )


def _sentence(reject: RejectReason) -> str:
    """The reason and how many rows or values it applies to; the example is a value's server."""
    if not reject.count:
        return reject.reason
    what = f"{reject.example}; {reject.count} value" if reject.example else f"{reject.count} row"
    return f"{reject.reason} ({what}{'s' if reject.count > 1 else ''})"
