"""Chart model of a server: 24 h measured and 8 h forecast of each metric on one time axis.

Both drawings come from it: the SVG of the page (`chart_svg`) and, as JSON, uPlot in the browser.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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
from web.display.metric_display import METRIC_DISPLAYS, MetricDisplay
from web.display.svg import Values

__all__ = ["BANDS", "MEDIAN", "Axis", "Band", "Chart", "ServerCharts", "Tick", "server_charts"]

STEP_SECONDS = STEP_MINUTES * 60
PAST_STEPS = CONTEXT_STEPS + 1  # with the step that is not complete yet
TICK_HOURS = 6
TICK_MARGIN_STEPS = 12  # a label closer to an end of the axis would be cut off
MEDIAN = "p50"


@dataclass(frozen=True, slots=True)
class Band:
    """The area between two forecast quantiles, which holds `percent` of the cases."""

    low: str
    high: str

    @property
    def percent(self) -> int:
        """Share of the cases between the two quantiles [%]."""
        return int(self.high[1:]) - int(self.low[1:])


# Widest first, so that the narrower ones are drawn over it.
BANDS = (Band("p02", "p98"), Band("p10", "p90"), Band("p25", "p75"))


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled time on the axis, `step` steps after its start."""

    step: float
    label: str


@dataclass(frozen=True, slots=True)
class Axis:
    """The time axis of all charts, in 5-minute steps; `issued` is the forecast's first step."""

    start: datetime
    now: datetime
    issued: int | None
    steps: int = PAST_STEPS + HORIZON_STEPS

    @property
    def now_step(self) -> float:
        """Position of the present, in steps after the start."""
        return (self.now - self.start).total_seconds() / STEP_SECONDS

    @property
    def ticks(self) -> list[Tick]:
        """Every sixth full hour of the day (UTC), away from the ends of the axis."""
        hour = self.start.replace(minute=0, second=0, microsecond=0)
        ticks = []
        for _ in range(math.ceil(self.steps * STEP_SECONDS / 3600) + 1):
            step = (hour - self.start).total_seconds() / STEP_SECONDS
            inside = TICK_MARGIN_STEPS <= step <= self.steps - TICK_MARGIN_STEPS
            if inside and hour.hour % TICK_HOURS == 0:
                ticks.append(Tick(step, f"{hour:%H:%M}"))
            hour += timedelta(hours=1)
        return ticks

    def as_json(self) -> dict[str, Any]:
        """Return the axis with times in epoch seconds."""
        start = int(self.start.timestamp())
        return {
            "start": start, "now": int(self.now.timestamp()), "step": STEP_SECONDS,
            "steps": self.steps, "issued": self.issued,
            "ticks": [
                {"at": round(start + tick.step * STEP_SECONDS), "label": tick.label}
                for tick in self.ticks
            ],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chart:
    """One metric as displayed: measured means (NaN is a gap), forecast quantiles and level lines.

    `low` and `high` are the value range, `levels` the level lines within it, `value` the newest
    sample and `band` the level that it has reached (`warn`, `critical` or empty).
    """

    display: MetricDisplay
    measured: Values
    quantiles: Mapping[str, Values]
    low: float
    high: float
    levels: Mapping[str, float]
    value: float | None
    band: str

    @property
    def has_forecast(self) -> bool:
        """Whether there are forecast quantiles."""
        return bool(self.quantiles)

    def as_json(self) -> dict[str, Any]:
        """Return the chart with values rounded to 2 digits; null is a gap."""
        return {
            "name": self.display.name, "unit": self.display.unit,
            "low": self.low, "high": self.high, "levels": self.levels,
            "measured": _rounded(self.measured),
            "ahead": {name: _rounded(values) for name, values in self.quantiles.items()},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServerCharts:
    """The charts of one server and the axis that they share."""

    axis: Axis
    charts: tuple[Chart, ...]

    def with_first(self, metric: str | None) -> "ServerCharts":
        """Return the same charts, that of `metric` first."""
        ordered = sorted(self.charts, key=lambda chart: chart.display.name != metric)
        return ServerCharts(self.axis, tuple(ordered))

    def as_json(self) -> dict[str, Any]:
        """Return what the browser draws: the axis, the forecast bands and the charts."""
        bands = [{"low": b.low, "high": b.high, "percent": b.percent} for b in BANDS]
        charts = [chart.as_json() for chart in self.charts]
        return {**self.axis.as_json(), "median": MEDIAN, "bands": bands, "charts": charts}


def server_charts(
    history: pa.Table,
    forecast: Sequence[Mapping[str, Any]],
    latest: Mapping[str, float | None],
    levels: Mapping[str, Levels],
    now: datetime,
) -> ServerCharts:
    """Build the chart of every metric.

    `history` has a row per step with the column `ts` and a `_mean` of each metric; `forecast` has a
    row per metric with its quantile lists, or none; `latest` is the newest sample; `levels` are as
    displayed.
    """
    start = floor_step(now) - timedelta(minutes=STEP_MINUTES * CONTEXT_STEPS)
    ahead = {row["metric"]: row for row in forecast if row[MEDIAN] is not None}
    issued = min((row["issued_at"] for row in ahead.values()), default=None)
    grid = _on_grid(history, start)
    charts = [
        _chart(display, grid[display.name], ahead.get(display.name), latest, levels)
        for display in METRIC_DISPLAYS
    ]
    axis = Axis(start, now, None if issued is None else _step(issued, start))
    return ServerCharts(axis, tuple(charts))


def _chart(
    display: MetricDisplay, measured: Values, row: Mapping[str, Any] | None,
    latest: Mapping[str, float | None], levels: Mapping[str, Levels],
) -> Chart:  # fmt: skip
    value, own = display.value(latest.get(display.name)), levels.get(display.name)
    measured = 100 - measured if display.mirrored else measured
    quantiles = _quantiles(row, display.mirrored) if row else {}
    # The widest band may leave the chart: it would flatten everything that was measured.
    widest = (BANDS[0].low, BANDS[0].high)
    inner = [values for name, values in quantiles.items() if name not in widest]
    low, high = _range(display, own, [measured, *inner])
    return Chart(
        display, measured, quantiles, low, high, _levels_up_to(own, high), value,
        display.band(value, levels),
    )  # fmt: skip


def _levels_up_to(levels: Levels | None, high: float) -> dict[str, float]:
    if levels is None:
        return {}
    both = {"warn": levels.warn, "critical": levels.critical}
    return {name: level for name, level in both.items() if level <= high}


def _quantiles(row: Mapping[str, Any], mirrored: bool) -> dict[str, Values]:
    lists = [np.array(row[name], dtype=np.float32) for name in QUANTILE_COLUMNS]
    if mirrored:
        lists = [100 - values for values in reversed(lists)]
    return dict(zip(QUANTILE_COLUMNS, lists, strict=True))


def _step(at: datetime, start: datetime) -> int:
    return round((at - start).total_seconds() / STEP_SECONDS)


def _on_grid(history: pa.Table, start: datetime) -> dict[str, Values]:
    """Return each metric's PAST_STEPS means from `start` on, NaN where there are none."""
    seconds = history.column("ts").to_numpy().astype("datetime64[s]").astype(np.int64)
    steps = (seconds - int(start.timestamp())) // STEP_SECONDS
    inside = (steps >= 0) & (steps < PAST_STEPS)
    grid = {}
    for display in METRIC_DISPLAYS:
        values = np.full(PAST_STEPS, np.nan, dtype=np.float32)
        values[steps[inside]] = history.column(f"{display.name}_mean").to_numpy()[inside]
        grid[display.name] = values
    return grid


def _range(
    display: MetricDisplay, levels: Levels | None, drawn: Sequence[Values]
) -> tuple[float, float]:
    """Return the range from 0 up; percentages reach 100 unless their critical level is low."""
    values = np.concatenate(drawn)
    values = values[~np.isnan(values)]
    most = float(values.max()) if values.size else 0.0
    if display.metric.kind == "counter" and values.size:
        return _round_down(float(values.min())), math.ceil(most + 0.1)
    near = levels is not None and (levels.critical <= 60 or display.unit != "%")
    wanted = levels.critical * 1.2 if levels is not None and near and most > levels.warn / 4 else 0
    if display.unit == "%":
        return 0.0, 100.0 if not near else min(100.0, max(wanted, _nice(most * 1.1), 10.0))
    return 0.0, max(wanted, _nice(most * 1.1), 1.0)


def _round_down(value: float) -> float:
    return float(math.floor(max(0.0, value - 0.1)))


def _nice(value: float) -> float:
    """Return the next of 1, 2, 2.5 and 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(n * power) for n in (1, 2, 2.5, 5, 10) if n * power >= value)


def _rounded(values: Values) -> list[float | None]:
    return [None if v != v else v for v in np.round(values.astype(np.float64), 2).tolist()]
