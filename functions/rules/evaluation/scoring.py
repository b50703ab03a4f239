"""Scoring: how good forecasts are on windows of a history, relative to naive ones.

held_out_windows(history)      windows at origins 8 h apart, up to the end
tally(forecast, windows, …)    losses of a forecast by window, lead and metric
relative(tally, naive, …)      the same relative to those of the value 24 h before
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functions.rules.evaluation.baselines import SEASONAL, Array, Forecasting, baselines
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, LEAD_MINUTES, QUANTILES, STEP_MINUTES
from storage.model.metrics import METRIC_NAMES
from storage.query.history import WINDOW_STEPS, History, week_minute

__all__ = [
    "HELD_OUT_STEPS",
    "ORIGINS",
    "Array",
    "Forecasting",
    "Score",
    "ScoredWindows",
    "SeriesScores",
    "Tally",
    "baselines",
    "comparable",
    "covered",
    "geometric",
    "held_out_windows",
    "relative",
    "score",
    "score_by_metric",
    "summed",
    "tally",
]  # fmt: skip

ORIGINS = 14  # forecasts per server, a horizon (8 h) apart: the last 4.7 days
HELD_OUT_STEPS = ORIGINS * HORIZON_STEPS
_SCORED = (0.1, 0.5, 0.9)  # quantiles in the score, as the published comparisons use them
_SMALLEST = 1e-9  # a series on which the naive forecast errs no more than this is left out
_BEST = 1e-3  # of the naive loss: one series that is nearly still must not decide a mean
_MEDIAN = QUANTILES.index(0.5)
# The first step of each lead bucket: it reaches to its own lead from the one before.
_BUCKETS = np.array([0, *(lead // STEP_MINUTES for lead in LEAD_MINUTES[:-1])])


@dataclass(frozen=True, slots=True)
class ScoredWindows:
    """The windows of S servers at `origins` origins each, n = S * origins, server by server."""

    context: Array  # [n, 288, 14]
    target: Array  # [n, 96, 14]
    week_minute: Array  # [n]
    profile: NDArray[np.int64]  # [n]
    anomalous: NDArray[np.bool_]  # [n] a labelled anomaly in context or target
    struck: NDArray[np.bool_]  # [n] one in the target
    origins: int = ORIGINS

    @property
    def yesterday(self) -> Array:
        """The values 24 h before the targets [n, 96, 14]."""
        return self.context[:, :HORIZON_STEPS]


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over targets, each [n, 5, 14]: by window, lead bucket (LEAD_MINUTES) and metric."""

    loss: NDArray[np.float64]  # pinball at .1, .5 and .9
    error: NDArray[np.float64]  # pinball at .5: half the absolute error
    inside: NDArray[np.float64]  # targets inside the 80 % band
    inside_96: NDArray[np.float64]
    count: NDArray[np.float64]  # targets


@dataclass(frozen=True, slots=True)
class Score:
    """Loss relative to the 24 h seasonal naive forecast; below 1 is better than it."""

    loss: float  # weighted quantile loss, geometric mean over series
    error: float  # absolute error of the median, the same way
    inside: float  # share of targets inside the 80 % band, mean over series
    series: int
    inside_96: float = float("nan")

    def __str__(self) -> str:
        return f"{self.loss:.3f} (median {self.error:.3f}, inside 80 % {self.inside:.3f})"


@dataclass(frozen=True, slots=True)
class SeriesScores:
    """The values of Score for each of the S servers' 14 metrics; NaN where nothing is scored."""

    loss: NDArray[np.float64]  # [S, 14]
    error: NDArray[np.float64]  # [S, 14]
    inside: NDArray[np.float64]  # [S, 14]
    inside_96: NDArray[np.float64]  # [S, 14]

    def over(self, metrics: Iterable[int] | None = None) -> Score:
        """Return one score of all series, or of those of some metrics."""
        places = slice(None) if metrics is None else list(metrics)
        loss, error, inside, wide = (
            getattr(self, name)[:, places] for name in SeriesScores.__slots__
        )
        known = ~np.isnan(loss)
        shares = [float(x[known].mean()) if known.any() else float("nan") for x in (inside, wide)]
        return Score(
            geometric(loss[known]), geometric(error[known]), shares[0], int(known.sum()), shares[1]
        )


def held_out_windows(*histories: History, origins: int = ORIGINS) -> ScoredWindows:
    """The last `origins` times 8 h of every server of `histories`, each forecast 8 h ahead."""
    parts = [_last_days(history, origins) for history in histories]

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    return ScoredWindows(
        joined("context"), joined("target"), joined("week_minute"), joined("profile"),
        joined("anomalous"), joined("struck"), origins,
    )  # fmt: skip


def _last_days(history: History, origins: int) -> ScoredWindows:
    ends = history.steps - HORIZON_STEPS * np.arange(origins - 1, -1, -1)
    starts = ends - WINDOW_STEPS
    if starts[0] < 0:
        raise ValueError(
            f"evaluation needs {origins * HORIZON_STEPS + CONTEXT_STEPS} steps; "
            f"there are {history.steps}"
        )
    steps = starts[:, None] + np.arange(WINDOW_STEPS)  # [origins, 384]
    windows = history.values[:, steps].reshape(-1, WINDOW_STEPS, len(METRIC_NAMES))
    clock = week_minute(history.start_s + starts * (STEP_MINUTES * 60))
    marks = np.zeros(windows.shape[:2], np.bool_)
    if history.anomalous is not None:
        marks = history.anomalous[:, steps].reshape(-1, WINDOW_STEPS)
    return ScoredWindows(
        windows[:, :CONTEXT_STEPS],
        windows[:, CONTEXT_STEPS:],
        np.tile(clock, len(history.servers)),
        np.repeat(history.profiles, origins),
        np.asarray(marks.any(1)),
        np.asarray(marks[:, CONTEXT_STEPS:].any(1)),
        origins,
    )


def comparable(windows: ScoredWindows, *forecasts: Array) -> NDArray[np.bool_]:
    """Which targets count [n, 96, 14]: observed, yesterday too, and forecast by all."""
    known = ~(np.isnan(windows.target) | np.isnan(windows.yesterday))
    for forecast in forecasts:
        known &= ~np.isnan(forecast[..., 0])
    return known


def tally(forecast: Array, windows: ScoredWindows, known: NDArray[np.bool_]) -> Tally:
    """What `forecast` [n, 96, 14, 7] misses of the targets that are `known`."""
    losses = [_pinball(forecast[..., QUANTILES.index(q)], windows.target, q) for q in _SCORED]
    return Tally(
        _by_lead(np.sum(losses, axis=0), known),
        _by_lead(losses[_SCORED.index(0.5)], known),
        _by_lead(_within(forecast, windows.target, _MEDIAN - 2, _MEDIAN + 2), known),
        _by_lead(_within(forecast, windows.target, _MEDIAN - 3, _MEDIAN + 3), known),
        _by_lead(np.ones_like(known), known),
    )


def relative(
    tally: Tally,
    naive: Tally,
    origins: int,
    chosen: NDArray[np.bool_] | None = None,
    lead: int | None = None,
) -> SeriesScores:
    """What was missed as a share of what `naive` missed of the same targets.

    Of all windows or the `chosen` [n], over the horizon or in one `lead` bucket (a place in
    LEAD_MINUTES). A series on which `naive` makes no error has NaN.
    """

    def sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
        of_window = values.sum(1) if lead is None else values[:, lead]  # [n, 14]
        if chosen is not None:
            of_window = np.where(chosen[:, None], of_window, 0)
        return np.asarray(of_window.reshape(-1, origins, len(METRIC_NAMES)).sum(1))  # [S, 14]

    loss = _ratio(sums(tally.loss), sums(naive.loss))
    error = _ratio(sums(tally.error), sums(naive.error))
    counts = np.where(np.isnan(loss), np.nan, np.maximum(sums(tally.count), 1))
    return SeriesScores(loss, error, sums(tally.inside) / counts, sums(tally.inside_96) / counts)


def summed(parts: Iterable[Tally]) -> Tally:
    """The tallies of several lots of windows as one."""
    columns = ([getattr(part, name) for name in Tally.__slots__] for part in parts)
    return Tally(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def score(
    forecast: Array, windows: ScoredWindows, chosen: NDArray[np.bool_] | None = None
) -> Score:
    """Score `forecast` [n, 96, 14, 7] over all series, or over the `chosen` [n] windows."""
    return score_by_metric(forecast, windows, chosen).over()


def score_by_metric(
    forecast: Array, windows: ScoredWindows, chosen: NDArray[np.bool_] | None = None
) -> SeriesScores:
    """The same for each series; one whose seasonal naive forecast makes no error has NaN."""
    known = comparable(windows, forecast)
    naive = baselines()[SEASONAL](windows.context, windows.week_minute, windows.profile)
    return relative(
        tally(forecast, windows, known), tally(naive, windows, known), windows.origins, chosen
    )


def covered(
    forecast: Array,
    windows: ScoredWindows,
    low: int,
    high: int,
    chosen: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Share of targets between two quantiles (places in QUANTILES) for each series [S, 14]."""
    known = comparable(windows, forecast)
    if chosen is not None:
        known &= chosen[:, None, None]
    shape = (-1, windows.origins * HORIZON_STEPS, len(METRIC_NAMES))
    counts = known.reshape(shape).sum(1)
    within = (known & _within(forecast, windows.target, low, high)).reshape(shape).sum(1)
    return np.asarray(within / np.where(counts > 0, counts, np.nan))


def geometric(ratios: NDArray[np.float64]) -> float:
    """Geometric mean; NaN of nothing."""
    return float(np.exp(np.log(ratios).mean())) if ratios.size else float("nan")


def _pinball(forecast: Array, target: Array, level: float) -> Array:
    miss = target - forecast
    return np.asarray(np.maximum(level * miss, (level - 1) * miss), np.float32)


def _within(forecast: Array, target: Array, low: int, high: int) -> NDArray[np.bool_]:
    return np.asarray((target >= forecast[..., low]) & (target <= forecast[..., high]))


def _by_lead(values: NDArray[np.generic], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Sums of the known values over the steps of each lead bucket: [n, 96, 14] to [n, 5, 14]."""
    counted = np.where(known, values, 0)
    return np.asarray(np.add.reduceat(counted, _BUCKETS, axis=1, dtype=np.float64))


def _ratio(loss: NDArray[np.float64], naive: NDArray[np.float64]) -> NDArray[np.float64]:
    moves = naive > _SMALLEST
    return np.where(moves, np.maximum(loss / np.where(moves, naive, 1), _BEST), np.nan)
