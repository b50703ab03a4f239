"""Unit questions: what all values of a field suggest about its unit. Nothing is ever guessed.

A value is stored as the mapping says; the question is for the person who reads it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

import pyarrow as pa
import pyarrow.compute as pc

from functions.normalize.mapping import Mapping
from storage.model.metrics import METRICS, Metric

__all__ = ["UnitQuestions"]

# On no machine always below 1 %. Others may be: they are asked about where all shares are.
_NEVER_THAT_LOW = frozenset({"mem_used_pct", "disk_usage_pct", "cpu_idle_pct"})


@dataclass(slots=True)
class _Span:
    """How many values a metric has, and between which they lie."""

    count: int = 0
    low: float = inf
    high: float = -inf


@dataclass(frozen=True, slots=True)
class _TooMuch:
    """A level that no machine always exceeds, in words, and the units to ask about."""

    level: float
    words: str
    units: str


_TOO_MUCH = {
    "MB/s": _TooMuch(1250, "1250 MB/s (10 Gbit/s)", "bytes or kilobytes per second"),
    "days": _TooMuch(3650, "3650 days (10 years)", "seconds or hours"),
}


class UnitQuestions:
    """Collects rows that a mapping made, and asks about those of its units that look wrong."""

    def __init__(self, mapping: Mapping, metrics: Sequence[Metric] = METRICS) -> None:
        self._entries = mapping.entries
        self._metrics = [m for m in metrics if m.name in self._entries]
        self._spans = {m.name: _Span() for m in self._metrics}

    def add(self, rows: pa.Table) -> None:
        """Take in rows of metrics, such as those of one page."""
        for name, span in self._spans.items():
            if name not in rows.column_names:
                continue
            count = rows.num_rows - rows[name].null_count
            if count:
                ends = pc.min_max(rows[name]).as_py()
                span.count += count
                span.low, span.high = min(span.low, ends["min"]), max(span.high, ends["max"])

    def sentences(self) -> list[str]:
        """The questions about all rows so far."""
        return [*self._about_shares(), *self._about_amounts()]

    def _about_shares(self) -> Iterator[str]:
        shares = [m.name for m in self._with_unit("%", "percent") if self._spans[m.name].high > 0]
        all_low = all(self._spans[name].high <= 1 for name in shares)
        for name in shares:
            low, high = self._spans[name].low, self._spans[name].high
            if low < 1 >= high and (all_low or name in _NEVER_THAT_LOW):
                yield (
                    f"{self._values(name)} in 0–1: is the unit a fraction? Stored as percent; else "
                    f'write unit = "fraction" in mapping.metrics.{name}'
                )

    def _about_amounts(self) -> Iterator[str]:
        for unit, stated in (("MB/s", "mb_s"), ("days", "days")):
            too_much = _TOO_MUCH[unit]
            for metric in self._with_unit(unit, stated):
                if self._spans[metric.name].low > too_much.level:
                    yield (
                        f"{self._values(metric.name)} over {too_much.words}: is the unit "
                        f"{too_much.units}? Stored as {unit}; else write the unit in "
                        f"mapping.metrics.{metric.name}"
                    )

    def _with_unit(self, unit: str, stated: str) -> list[Metric]:
        """The metrics in `unit` with values, all of whose fields are stated to be in `stated`."""
        return [
            m
            for m in self._metrics
            if m.unit == unit
            and self._spans[m.name].count
            and all(f.unit == stated and not f.counter for f in self._entries[m.name])
        ]

    def _values(self, name: str) -> str:
        fields = " or ".join(dict.fromkeys(f for e in self._entries[name] for f in e.fields))
        count = self._spans[name].count
        if count == 1:
            return f"the value of {fields} is"
        return f"all {count:,} values of {fields} lie"
