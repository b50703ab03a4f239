"""The charts of a server: 24 h measured and 8 h ahead of each metric, as numbers and as paths."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from storage.model.grid import (
    CONTEXT_STEPS,
    HORIZON_STEPS,
    QUANTILE_COLUMNS,
    STEP_MINUTES,
    floor_step,
)
from storage.model.metrics import Levels
from web.display.metric_display import SHOWN, MetricDisplay
from web.display.svg import Values, band_path, line_path, rows_of

__all__ = ["BANDS", "Axis", "Chart", "charts_of"]

HEIGHT = 120
BANDS = (("p02", "p98"), ("p10", "p90"), ("p25", "p75"))
STEP_SECONDS = STEP_MINUTES * 60
PAST_STEPS = CONTEXT_STEPS + 1  # and the step that is not over yet


@dataclass(frozen=True, slots=True)
class Axis:
    """The time axis that all charts share, in 5-minute steps; `issued` is the forecast's first."""

    start: datetime
    now: datetime
    issued: int | None

    @property
    def steps(self) -> int:
        """How many steps the axis has."""
        return PAST_STEPS + HORIZON_STEPS

    @property
    def now_step(self) -> float:
        """Where now lies on it."""
        return (self.now - self.start).total_seconds() / STEP_SECONDS

    def labels(self) -> Iterable[tuple[float, str]]:
        """Every sixth hour: how far along the axis [%], and the time of day."""
        hour = self.start.replace(minute=0, second=0, microsecond=0)
        for _ in range(34):
            hour += timedelta(hours=1)
            step = (hour - self.start).total_seconds() / STEP_SECONDS
            if hour.hour % 6 == 0 and 0 <= step < self.steps:
                yield round(100 * step / self.steps, 2), f"{hour:%H:%M}"


@dataclass(frozen=True)
class Chart:
    """One metric: measured means (NaN is a gap) and the quantiles ahead, the way up it is shown."""

    shown: MetricDisplay
    axis: Axis
    measured: Values
    quantiles: Mapping[str, Values]
    levels: Levels | None
    value: float | None
    band: str

    @cached_property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value on the chart."""
        # The outermost band may leave the chart: it would flatten everything that was measured.
        inner = [values for name, values in self.quantiles.items() if name not in BANDS[0]]
        return _range(self.shown, self.levels, [self.measured, *inner])

    @property
    def visible_levels(self) -> dict[str, float]:
        """The level lines that lie within the chart's range."""
        if self.levels is None:
            return {}
        both = {"warn": self.levels.warn, "critical": self.levels.critical}
        return {name: level for name, level in both.items() if level <= self.range[1]}

    @property
    def forecast(self) -> bool:
        """Whether there is anything ahead."""
        return bool(self.quantiles)

    @property
    def measured_path(self) -> str:
        """The measured line."""
        return line_path(self._rows(self.measured))

    @property
    def median_path(self) -> str:
        """The forecast's median."""
        return line_path(self._rows(self.quantiles["p50"]), self.axis.issued or 0)

    @property
    def band_paths(self) -> list[str]:
        """The forecast's bands, widest first."""
        rows = {name: self._rows(values) for name, values in self.quantiles.items()}
        return [band_path(rows[low], rows[high], self.axis.issued or 0) for low, high in BANDS]

    def level_row(self, level: float) -> int:
        """The pixel row of a level."""
        return self._rows(np.array([level], dtype=np.float32))[0]

    def numbers(self) -> dict[str, Any]:
        """What the browser draws it from."""
        low, high = self.range
        return {
            "name": self.shown.name, "unit": self.shown.unit, "low": low, "high": high,
            "levels": self.visible_levels, "measured": _listed(self.measured),
            "ahead": {name: _listed(values) for name, values in self.quantiles.items()},
        }  # fmt: skip

    def _rows(self, values: Values) -> list[int]:
        return rows_of(values, *self.range, HEIGHT)


def charts_of(
    history: pa.Table,
    forecast: Sequence[Mapping[str, Any]],
    latest: Mapping[str, float | None],
    levels: Mapping[str, Levels],
    now: datetime,
) -> list[Chart]:
    """A chart of every metric; `forecast` holds a row a metric, or nothing."""
    start = floor_step(now) - timedelta(minutes=STEP_MINUTES * CONTEXT_STEPS)
    ahead = {row["metric"]: row for row in forecast if row["p50"] is not None}
    issued = min((row["issued_at"] for row in ahead.values()), default=None)
    axis = Axis(start, now, None if issued is None else _step(issued, start))
    grid = _gridded(history, start)
    return [
        _chart(shown, axis, grid[shown.name], ahead.get(shown.name), latest, levels)
        for shown in SHOWN
    ]


def _chart(
    shown: MetricDisplay, axis: Axis, measured: Values, row: Mapping[str, Any] | None,
    latest: Mapping[str, float | None], levels: Mapping[str, Levels],
) -> Chart:  # fmt: skip
    value = shown.value(latest.get(shown.name))
    return Chart(
        shown, axis, 100 - measured if shown.mirrored else measured,
        _quantiles(row, shown.mirrored) if row else {},
        levels.get(shown.name), value, shown.band(value, levels),
    )  # fmt: skip


def _quantiles(row: Mapping[str, Any], mirrored: bool) -> dict[str, Values]:
    lists = [np.array(row[name], dtype=np.float32) for name in QUANTILE_COLUMNS]
    if mirrored:
        lists = [100 - values for values in reversed(lists)]
    return dict(zip(QUANTILE_COLUMNS, lists, strict=True))


def _step(moment: datetime, start: datetime) -> int:
    return round((moment - start).total_seconds() / STEP_SECONDS)


def _gridded(history: pa.Table, start: datetime) -> dict[str, Values]:
    """Each metric on the grid of the past, NaN where nothing was measured."""
    seconds = history.column("ts").to_numpy().astype("datetime64[s]").astype(np.int64)
    steps = (seconds - int(start.timestamp())) // STEP_SECONDS
    inside = (steps >= 0) & (steps < PAST_STEPS)
    grid = {}
    for shown in SHOWN:
        values = np.full(PAST_STEPS, np.nan, dtype=np.float32)
        values[steps[inside]] = history.column(f"{shown.name}_mean").to_numpy()[inside]
        grid[shown.name] = values
    return grid


def _range(
    shown: MetricDisplay, levels: Levels | None, drawn: Sequence[Values]
) -> tuple[float, float]:
    """From 0 to what is needed: percentages to 100 unless their critical level is far below."""
    values = np.concatenate(drawn)
    values = values[~np.isnan(values)]
    most = float(values.max()) if values.size else 0.0
    if shown.metric.kind == "counter" and values.size:
        return _round_down(float(values.min())), math.ceil(most + 0.1)
    near = levels is not None and (levels.critical <= 60 or shown.unit != "%")
    wanted = levels.critical * 1.2 if levels is not None and near and most > levels.warn / 4 else 0
    if shown.unit == "%":
        return 0.0, 100.0 if not near else min(100.0, max(wanted, _nice(most * 1.1), 10.0))
    return 0.0, max(wanted, _nice(most * 1.1), 1.0)


def _round_down(value: float) -> float:
    return float(math.floor(max(0.0, value - 0.1)))


def _nice(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(n * power) for n in (1, 2, 2.5, 5, 10) if n * power >= value)


def _listed(values: Values) -> list[float | None]:
    return [None if v != v else v for v in np.round(values.astype(np.float64), 2).tolist()]
