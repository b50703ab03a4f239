"""Chart model of a server: each metric, measured and forecast, on one time axis.

Both drawings come from it: the SVG of the page (`chart_svg`) and, as JSON, uPlot in the browser.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from storage.model.grid import QUANTILE_COLUMNS, STEP
from storage.model.metrics import Levels
from web.display.metric_display import METRIC_DISPLAYS, MetricDisplay
from web.display.spans import Span, usual_span
from web.display.svg import Values

__all__ = [
    "BANDS", "MEDIAN", "OVERLAY_BAND", "Axis", "Band", "Chart", "Overlay", "Series",
    "ServerCharts", "Tick", "server_charts",
]  # fmt: skip

MAX_TICKS = 8
TICK_HOURS = (1, 2, 3, 6, 12, 24, 48, 168, 336, 720, 1440, 2880, 8760)
TICK_MARGIN = 12 / 385  # of the axis: a label closer to its end would be cut off
MEDIAN = "p50"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


OVERLAY_BAND = BANDS[1]  # the one band of a forecast that is drawn over another


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled time on the axis, `step` steps after its start."""

    step: float
    label: str


@dataclass(frozen=True, slots=True)
class Axis:
    """The time axis of all charts; `issued` is the first step of the forecast."""

    span: Span
    now: datetime
    issued: int | None

    @property
    def start(self) -> datetime:
        """The start of the first step."""
        return self.span.start

    @property
    def steps(self) -> int:
        """The number of steps."""
        return self.span.steps

    @property
    def now_step(self) -> float:
        """Position of the present, in steps after the start; no further than the end."""
        return min(self.span.position(self.now), self.steps)

    @property
    def ticks(self) -> list[Tick]:
        """Round times (UTC), at most MAX_TICKS, away from the ends of the axis."""
        length = self.steps * self.span.step
        hours = next((h for h in TICK_HOURS if length / timedelta(hours=h) <= MAX_TICKS), 17_520)
        each, margin = timedelta(hours=hours), TICK_MARGIN * self.steps
        at, ticks = self.start - (self.start - _EPOCH) % each, []
        while at < self.start + length:
            step = self.span.position(at)
            if margin <= step <= self.steps - margin:
                ticks.append(Tick(step, f"{at:%H:%M}" if hours < 24 else f"{at:%d %b}"))
            at += each
        return ticks

    def as_json(self) -> dict[str, Any]:
        """Return the axis with times in epoch seconds."""
        start, step = int(self.start.timestamp()), int(self.span.step.total_seconds())
        return {
            "start": start, "now": int(self.now.timestamp()), "step": step,
            "steps": self.steps, "issued": self.issued,
            "ticks": [
                {"at": round(start + tick.step * step), "label": tick.label} for tick in self.ticks
            ],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Series:
    """Quantiles of a forecast by name, from step `first` of the axis on."""

    first: int
    quantiles: Mapping[str, Values]


@dataclass(frozen=True, slots=True)
class Overlay:
    """A forecast that is drawn over a chart: `said` before, or `what-if`."""

    kind: str
    series: Series

    def as_json(self) -> dict[str, Any]:
        """Return its band and median, rounded to 2 digits."""
        names = (OVERLAY_BAND.low, MEDIAN, OVERLAY_BAND.high)
        lists = [_rounded(self.series.quantiles[name]) for name in names]
        return {"kind": self.kind, "first": self.series.first} | dict(
            zip(("low", "middle", "high"), lists, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Chart:
    """One metric as displayed: measured means (NaN is a gap), forecast quantiles and level lines.

    `low` and `high` are the value range, `levels` the level lines within it, `value` the newest
    sample and `band` the level that it has reached (`warn`, `critical` or empty). `spread` are the
    least and the largest 5-minute mean of each step, where a step holds several.
    """

    display: MetricDisplay
    measured: Values
    quantiles: Mapping[str, Values]
    low: float
    high: float
    levels: Mapping[str, float]
    value: float | None
    band: str
    spread: tuple[Values, Values] | None = None
    overlays: tuple[Overlay, ...] = ()

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
            "spread": None if self.spread is None else [_rounded(each) for each in self.spread],
            "overlays": [overlay.as_json() for overlay in self.overlays],
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
    *,
    span: Span | None = None,
    displays: Sequence[MetricDisplay] = METRIC_DISPLAYS,
    overlays: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> ServerCharts:
    """Build the chart of every metric.

    `history` has a row per step with the column `ts` and a `_mean` of each metric, and where the
    steps of `span` are wide a `_low` and a `_high`; `forecast` has a row per metric with its
    quantile lists, or none; each of `overlays`, by kind, has rows with p10, p50 and p90; `latest`
    is the newest sample; `levels` are as displayed.
    """
    span = span or usual_span(now)
    grid = _OnGrid(history, span)
    ahead = _by_metric(forecast, span)
    over = {kind: _by_metric(rows, span) for kind, rows in (overlays or {}).items()}
    charts = [
        _chart(
            display, grid, ahead.get(display.name),
            [Overlay(kind, each[display.name]) for kind, each in over.items()
             if display.name in each],
            latest, levels,
        )
        for display in displays
    ]  # fmt: skip
    issued = min((series.first for series in ahead.values()), default=None)
    return ServerCharts(Axis(span, now, issued), tuple(charts))


def _chart(
    display: MetricDisplay, grid: "_OnGrid", ahead: Series | None, overlays: Sequence[Overlay],
    latest: Mapping[str, float | None], levels: Mapping[str, Levels],
) -> Chart:  # fmt: skip
    value, own = display.value(latest.get(display.name)), levels.get(display.name)
    measured, spread = grid.measured(display), grid.spread(display)
    quantiles = _displayed(ahead, display).quantiles if ahead else {}
    shown = [Overlay(each.kind, _displayed(each.series, display)) for each in overlays]
    # The widest band may leave the chart: it would flatten everything that was measured.
    widest = (BANDS[0].low, BANDS[0].high)
    drawn = [values for name, values in quantiles.items() if name not in widest]
    drawn += [each.series.quantiles[q] for each in shown for q in (OVERLAY_BAND.high, MEDIAN)]
    low, high = _range(display, own, [measured, *(spread or ()), *drawn])
    return Chart(
        display, measured, quantiles, low, high, _levels_up_to(own, high), value,
        display.band(value, levels), spread, tuple(shown),
    )  # fmt: skip


def _levels_up_to(levels: Levels | None, high: float) -> dict[str, float]:
    if levels is None:
        return {}
    both = {"warn": levels.warn, "critical": levels.critical}
    return {name: level for name, level in both.items() if level <= high}


def _by_metric(rows: Sequence[Mapping[str, Any]], span: Span) -> dict[str, Series]:
    """Return the forecast of each metric that has one within the span."""
    if not span.shows_forecast:
        return {}
    made = {row["metric"]: _series(row, span) for row in rows if row[MEDIAN] is not None}
    return {name: series for name, series in made.items() if len(series.quantiles[MEDIAN])}


def _series(row: Mapping[str, Any], span: Span) -> Series:
    """Return the quantiles of a row at the steps of the axis: of wide steps, each at its start."""
    first = max(0, -(-(row["issued_at"] - span.start) // span.step))
    skipped, every = (span.start + first * span.step - row["issued_at"]) // STEP, span.step // STEP
    steps = slice(skipped, skipped + max(0, span.steps - first) * every, every)
    named = (name for name in QUANTILE_COLUMNS if name in row)
    lists = {name: np.array(row[name], np.float32)[steps] for name in named}
    return Series(first, lists)


def _displayed(series: Series, display: MetricDisplay) -> Series:
    """Return the series as displayed: the quantiles of a mirrored metric change places."""
    if not display.mirrored:
        return series
    mirrored = zip(QUANTILE_COLUMNS, reversed(QUANTILE_COLUMNS), strict=True)
    lists = {to: 100 - series.quantiles[of] for to, of in mirrored if of in series.quantiles}
    return Series(series.first, lists)


class _OnGrid:
    """Columns of the history as arrays of one value a step, NaN where there is none."""

    def __init__(self, history: pa.Table, span: Span) -> None:
        seconds = history.column("ts").to_numpy().astype("datetime64[s]").astype(np.int64)
        steps = (seconds - int(span.start.timestamp())) // int(span.step.total_seconds())
        self._inside = (steps >= 0) & (steps < span.steps)
        self._steps, self._count = steps[self._inside], span.steps
        self._history, self._columns = history, set(history.column_names)

    def measured(self, display: MetricDisplay) -> Values:
        """The means of a metric as displayed."""
        return self._values(display, "mean")

    def spread(self, display: MetricDisplay) -> tuple[Values, Values] | None:
        """The least and the largest 5-minute mean of each step; None without them."""
        if f"{display.name}_low" not in self._columns:
            return None
        pair = self._values(display, "low"), self._values(display, "high")
        return (pair[1], pair[0]) if display.mirrored else pair

    def _values(self, display: MetricDisplay, part: str) -> Values:
        values = np.full(self._count, np.nan, dtype=np.float32)
        name = f"{display.name}_{part}"
        if name in self._columns:
            values[self._steps] = self._history.column(name).to_numpy()[self._inside]
        return 100 - values if display.mirrored else values


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
