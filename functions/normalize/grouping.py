"""Grouping: documents with a part of a server each become one row for each span of the clock."""

from collections.abc import Callable
from collections.abc import Mapping as Dict
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from functions.normalize.mapper import ITEM
from functions.normalize.mapping import Mapping
from storage.model.periods import parse_period
from storage.model.schema import TIMESTAMP

__all__ = ["DocumentGrouping"]

_SPAN = "span"


class DocumentGrouping:
    """The documents of spans that are not complete yet.

    A document that comes after its span was written becomes a row at its own time, so that it is
    neither lost nor dropped as a repeat of that row.
    """

    def __init__(self, mapping: Mapping) -> None:
        assert mapping.period is not None
        self._period_us = mapping.period // timedelta(microseconds=1)
        self._settle_us = parse_period(mapping.settle) // timedelta(microseconds=1)
        self._combine = {n: fields[0].combine for n, fields in mapping.entries.items()}
        self._open: list[pa.Table] = []
        self._over_us = 0

    def begin(self) -> None:
        """Begin a file: its documents are grouped, however old they are."""
        self._over_us = 0

    @property
    def oldest_us(self) -> int | None:
        """Start of the oldest incomplete span; None without one."""
        oldest = [pc.min(rows["ts"].cast(pa.int64())).as_py() for rows in self._open]
        return min(oldest) // self._period_us * self._period_us if oldest else None

    @property
    def open_rows(self) -> int:
        """The number of rows in incomplete spans."""
        return sum(rows.num_rows for rows in self._open)

    def add(self, rows: pa.Table) -> None:
        """Add the rows of a mapper."""
        times = rows["ts"].cast(pa.int64()).to_numpy()
        spans = times // self._period_us * self._period_us
        spans = np.where(spans < self._over_us, times, spans)
        if rows.num_rows:
            self._open.append(rows.append_column(_SPAN, pa.array(spans, pa.int64())))

    def take(self, until_us: int) -> pa.Table | None:
        """Remove and return the rows of spans that ended `settle` or more before `until_us`."""
        over_us = (until_us - self._settle_us) // self._period_us * self._period_us
        self._over_us = max(self._over_us, over_us)
        return self._take(lambda rows: pc.less(rows[_SPAN], self._over_us))

    def take_all(self) -> pa.Table | None:
        """Remove and return the rows of all spans, for a source that is complete."""
        return self._take(lambda rows: pc.is_valid(rows[_SPAN]))

    def _take(self, which: Callable[[pa.Table], pa.ChunkedArray]) -> pa.Table | None:
        if not self._open:
            return None
        rows = pa.concat_tables(self._open, promote_options="default")
        over = which(rows)
        rest = rows.filter(pc.invert(over))
        self._open = [rest] if rest.num_rows else []
        return _combined(rows.filter(over), self._combine)


def _combined(rows: pa.Table, combine: Dict[str, str]) -> pa.Table:
    """One row for each server and span: the mean of each item, combined as the mapping says."""
    metrics = [name for name in rows.column_names if name in combine]
    if not rows.num_rows:
        return rows.select(["server", "ts", *metrics, "source"])
    by = ["server", _SPAN, "source"]
    items = rows.group_by([*by, ITEM]).aggregate([(name, "mean") for name in metrics])
    options = pc.ScalarAggregateOptions(skip_nulls=True, min_count=1)
    whole = items.group_by(by).aggregate(
        [(f"{name}_mean", combine[name], options) for name in metrics]
    )
    columns = {
        "server": whole["server"],
        "ts": whole[_SPAN].cast(TIMESTAMP),
        **{n: whole[f"{n}_mean_{combine[n]}"].cast(pa.float32()) for n in metrics},
        "source": whole["source"],
    }
    return pa.table(columns)
