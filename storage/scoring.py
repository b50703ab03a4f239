"""How good a model is on servers and days it never saw, next to forecasts that cost nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.grid import CONTEXT_STEPS, HORIZON_STEPS, MIN_CONTEXT_STEPS, QUANTILES, STEP_MINUTES
from storage.history import History, week_minute
from storage.metrics import METRIC_NAMES

__all__ = [
    "HELD_OUT_STEPS",
    "ORIGINS",
    "Forecasting",
    "Score",
    "SeriesScores",
    "Windows",
    "baselines",
    "covered",
    "evaluate",
    "geometric",
    "held_out_windows",
    "score",
    "score_by_metric",
]

ORIGINS = 14  # forecasts per server, a horizon (8 h) apart: the last 4.7 days
HELD_OUT_STEPS = ORIGINS * HORIZON_STEPS
_SCORED = (0.1, 0.5, 0.9)  # quantiles in the score, as the published comparisons use them
_SMALLEST = 1e-9  # a series on which the naive forecast errs no more than this is left out
_BEST = 1e-3  # of the naive loss: one series that is nearly still must not decide a mean

Array = NDArray[np.float32]
Forecasting = Callable[[Array, Array, NDArray[np.int64]], Array]
"""(context [n, 288, 14], week_minute [n], profile [n]) to quantiles [n, 96, 14, 7]."""


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of S servers at `ORIGINS` origins each, n = S * ORIGINS, server by server."""

    context: Array  # [n, 288, 14]
    target: Array  # [n, 96, 14]
    week_minute: Array  # [n]
    profile: NDArray[np.int64]  # [n]
    anomalous: NDArray[np.bool_]  # [n] a labelled anomaly in context or target


@dataclass(frozen=True, slots=True)
class Score:
    """Loss relative to the 24 h seasonal naive forecast; below 1 is better than it."""

    loss: float  # weighted quantile loss, geometric mean over series
    error: float  # absolute error of the median, the same way
    inside: float  # share of targets inside the 80 % band
    series: int

    def __str__(self) -> str:
        return f"{self.loss:.3f} (median {self.error:.3f}, inside 80 % {self.inside:.3f})"


@dataclass(frozen=True, slots=True)
class SeriesScores:
    """What Score tells, for each of the S servers' 14 metrics; NaN where nothing is scored."""

    loss: NDArray[np.float64]  # [S, 14]
    error: NDArray[np.float64]  # [S, 14]
    inside: NDArray[np.float64]  # [S, 14]


def held_out_windows(*histories: History) -> Windows:
    """The last 4.7 days of every server of `histories`, from 14 origins 8 h apart."""
    parts = [_last_days(history) for history in histories]
    columns = ([getattr(part, name) for part in parts] for name in Windows.__slots__)
    return Windows(*(np.concatenate(column) for column in columns))


def _last_days(history: History) -> Windows:
    ends = [history.steps - HORIZON_STEPS * back for back in range(ORIGINS - 1, -1, -1)]
    starts = np.array(ends) - CONTEXT_STEPS - HORIZON_STEPS
    if starts[0] < 0:
        raise ValueError(
            f"evaluation needs {HELD_OUT_STEPS + CONTEXT_STEPS} steps; there are {history.steps}"
        )
    steps = starts[:, None] + np.arange(CONTEXT_STEPS + HORIZON_STEPS)  # [14, 384]
    windows = history.values[:, steps].reshape(-1, steps.shape[1], len(METRIC_NAMES))
    clock = week_minute(history.start_s + starts * (STEP_MINUTES * 60))
    marks = np.zeros(len(windows), np.bool_)
    if history.anomalous is not None:
        marks = history.anomalous[:, steps].any(-1).reshape(-1)
    return Windows(
        windows[:, :CONTEXT_STEPS],
        windows[:, CONTEXT_STEPS:],
        np.tile(clock, len(history.servers)),
        np.repeat(history.profiles, ORIGINS),
        marks,
    )


def baselines() -> Mapping[str, Forecasting]:
    """Forecasts that need no training, in the form of a model's."""
    return {
        "seasonal naive": lambda context, *_: _point(context[:, :HORIZON_STEPS]),
        "last value": lambda context, *_: _point(_newest(context).repeat(HORIZON_STEPS, 1)),
        "context quantiles": _context_quantiles,
    }


def score(forecast: Array, windows: Windows, chosen: NDArray[np.bool_] | None = None) -> Score:
    """Score `forecast` [n, 96, 14, 7] over all series, or over the `chosen` [n] windows."""
    by = score_by_metric(forecast, windows, chosen)
    told = ~np.isnan(by.loss)
    return Score(
        geometric(by.loss[told]),
        geometric(by.error[told]),
        float(by.inside[told].mean()) if told.any() else float("nan"),
        int(told.sum()),
    )


def score_by_metric(
    forecast: Array, windows: Windows, chosen: NDArray[np.bool_] | None = None
) -> SeriesScores:
    """The same for each series; one whose seasonal naive forecast makes no error has NaN."""
    known = _scored(forecast, windows, chosen)
    naive = windows.context[:, :HORIZON_STEPS]
    levels = [QUANTILES.index(q) for q in _SCORED]
    losses = [_pinball(forecast[..., i], windows.target, QUANTILES[i]) for i in levels]
    naive_losses = [_pinball(naive, windows.target, q) for q in _SCORED]
    median = QUANTILES.index(0.5)
    loss = _ratio(sum(losses, np.zeros_like(naive)), sum(naive_losses, np.zeros_like(naive)), known)
    error = _ratio(losses[_SCORED.index(0.5)], naive_losses[_SCORED.index(0.5)], known)
    inside = covered(forecast, windows, median - 2, median + 2, chosen)
    return SeriesScores(loss, error, np.where(np.isnan(loss), np.nan, inside))


def covered(
    forecast: Array,
    windows: Windows,
    low: int,
    high: int,
    chosen: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Share of targets between two quantiles (places in QUANTILES) for each series [S, 14]."""
    known = _scored(forecast, windows, chosen)
    within = (windows.target >= forecast[..., low]) & (windows.target <= forecast[..., high])
    counts = _by_series(known.astype(np.float32), known)
    return _by_series(within.astype(np.float32), known) / np.where(counts > 0, counts, np.nan)


def evaluate(forecasting: Forecasting, *histories: History) -> Mapping[str, Score]:
    """Score a model and the baselines on the last 4.7 days of the servers of `histories`."""
    windows = held_out_windows(*histories)
    scores = {}
    for name, candidate in {"model": forecasting, **baselines()}.items():
        forecast = candidate(windows.context, windows.week_minute, windows.profile)
        scores[name] = score(forecast, windows)
    return scores


def _pinball(forecast: Array, target: Array, level: float) -> Array:
    miss = target - forecast
    return np.asarray(np.maximum(level * miss, (level - 1) * miss), np.float32)


def _scored(
    forecast: Array, windows: Windows, chosen: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Which targets count [n, 96, 14]: those that were observed, yesterday too, and forecast."""
    naive = windows.context[:, :HORIZON_STEPS]
    known = ~(np.isnan(windows.target) | np.isnan(naive) | np.isnan(forecast[..., 0]))
    return known if chosen is None else known & chosen[:, None, None]


def _ratio(loss: Array, naive: Array, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    above, below = _by_series(loss, known), _by_series(naive, known)
    moves = below > _SMALLEST
    return np.where(moves, np.maximum(above / np.where(moves, below, 1), _BEST), np.nan)


def _by_series(values: Array, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Sums over origins and steps: [n, 96, 14] to [S, 14]."""
    sums = np.where(known, values, 0).sum(1, dtype=np.float64)  # [n, 14]
    return np.asarray(sums.reshape(-1, ORIGINS, len(METRIC_NAMES)).sum(1))


def geometric(ratios: NDArray[np.float64]) -> float:
    """Geometric mean; NaN of nothing."""
    return float(np.exp(np.log(ratios).mean())) if ratios.size else float("nan")


def _point(values: Array) -> Array:
    return np.repeat(values[..., None], len(QUANTILES), -1)


def _newest(context: Array) -> Array:
    """The newest reading of each metric [n, 1, 14]; NaN where there is none."""
    back = (~np.isnan(context[:, ::-1])).argmax(1)  # [n, 14]
    place = (CONTEXT_STEPS - 1 - back)[:, None]
    return np.asarray(np.take_along_axis(context, place, 1))


def _context_quantiles(context: Array, *_: object) -> Array:
    enough = (~np.isnan(context)).sum(1) >= MIN_CONTEXT_STEPS  # [n, 14]
    safe = np.where(enough[:, None], context, 0)
    found = np.nanquantile(safe, QUANTILES, axis=1).astype(np.float32)  # [7, n, 14]
    found = np.where(enough, found, np.float32(np.nan)).transpose(1, 2, 0)  # [n, 14, 7]
    return found[:, None].repeat(HORIZON_STEPS, 1)
