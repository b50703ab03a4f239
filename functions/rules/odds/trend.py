"""Trend head: odds of a breach from how far a metric is from its level and how fast it climbs.

The odds of the bands do not see a ramp that has just begun. A ridge logistic regression does, on
the odds themselves, the distance to the level, slopes over four windows with their t-values, the
hours to the level at those slopes, a few products of these, and which metric it is. All distances
are in gaps of warn and critical level, and all values are signed so that more is worse.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from functions.rules.fleet_state import JUDGED, amount, label, value_text
from functions.rules.odds.exceedance import LEAD_STEPS, Floats, clipped, logit, sigmoid
from functions.rules.odds.logistic import logistic
from storage.model.grid import STEP_MINUTES

__all__ = [
    "HISTORY_STEPS", "SLOPE_STEPS", "TrendHead", "drivers", "fit_trend", "trend_features",
]  # fmt: skip

# Windows of the slopes: 30 minutes, 1, 3 and 6 hours.
SLOPE_STEPS: Final = (6, 12, 36, 72)
HISTORY_STEPS: Final = SLOPE_STEPS[-1]
_WINDOWS: Final = len(SLOPE_STEPS)
_LEADS: Final = len(LEAD_STEPS)
# Columns: log odds of each lead, distance, then for each window its slope, t-value and closeness.
_DISTANCE: Final = _LEADS
_SLOPE, _T, _CLOSE = (_LEADS + 1 + i * _WINDOWS for i in range(3))
FEATURES: Final = _LEADS + 1 + 3 * _WINDOWS
# What the regression has beside them: closeness squared, and times the t-value, for each window;
# the odds of an hour times the highest closeness, the exponential of the distance, the metric.
_SQUARE, _SURE_CLOSE = FEATURES, FEATURES + _WINDOWS
_CLOSE_ODDS = FEATURES + 2 * _WINDOWS
_NEAR = _CLOSE_ODDS + 1
TERMS: Final = _NEAR + 1 + len(JUDGED)
_LEAST_SEEN: Final = 0.5  # of a window's steps; else it shows no slope
_LIMITS: Final = {"distance": 20.0, "slope": 10.0, "t": 15.0, "hours": 24.0}
_NEWEST: Final = 3  # steps of which the last known one is the value now
_OF_WINDOW: Final = (_SLOPE, _T, _CLOSE, _SQUARE, _SURE_CLOSE)
_HOUR: Final = LEAD_STEPS.index(12)
_LEAST_SCALE: Final = 1e-3
_ROWS: Final = 16  # servers at a time, for the memory of their windows
_RIDGE: Final = 10.0
_LEAST_DRIVER: Final = 0.3  # in log odds
_SURE: Final = 2.0  # t-value of a slope that is no noise

Ints = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class TrendHead:
    """Coefficients [leads, 1 + TERMS] of standardised terms: (x − mean) / scale."""

    mean: Floats
    scale: Floats
    coefficients: Floats

    def __call__(self, features: Floats, metric: Ints) -> Floats:
        """Return odds [..., leads] of features [..., F], never falling with the lead.

        `metric` [...] are indices of the judged metrics. NaN stays NaN.
        """
        return clipped(self.rate(features, metric))

    def rate(self, features: Floats, metric: Ints) -> Floats:
        """Return the same without a least odds: many of them can be summed."""
        x = (_terms(features, metric) - self.mean) / self.scale
        x = np.concatenate([np.ones((*x.shape[:-1], 1)), x], axis=-1)
        return np.maximum.accumulate(sigmoid(x @ self.coefficients.T), axis=-1)

    def contributions(self, features: Floats, metric: int, lead: int) -> Floats:
        """Return what each term [TERMS] of one case adds to the log odds of a lead."""
        x = (_terms(features, np.array(metric)) - self.mean) / self.scale
        shares: Floats = x * self.coefficients[lead, 1:]
        return shares


def _terms(features: Floats, metric: Ints) -> Floats:
    """Return the terms [..., TERMS] of the regression."""
    x = np.asarray(features, np.float64)
    close, t = x[..., _CLOSE : _CLOSE + _WINDOWS], x[..., _T : _T + _WINDOWS]
    highest = close.max(axis=-1, keepdims=True)
    of_hour = x[..., _HOUR : _HOUR + 1]
    near = np.exp(-np.maximum(x[..., _DISTANCE : _DISTANCE + 1], 0))
    sure = np.maximum(t, 0) / _LIMITS["t"]
    which = metric[..., None] == np.arange(len(JUDGED))
    parts = [x, close**2, close * sure, highest * of_hour, near, which]
    return np.concatenate(parts, axis=-1)


def trend_features(
    values: Floats, level: Floats, gap: Floats, raw: Floats, origins: Ints
) -> Floats:
    """Return the features [n, m, F] of one metric at the start of the steps `origins` [m].

    `values` [n, T] are 5-minute means; `level` and `gap` (critical − warn) [n]; `raw` [n, m, leads]
    odds of the bands. Features need only the steps before the origin. NaN where the newest value or
    the odds are missing.
    """
    parts = [
        _features(values[rows], level[rows], gap[rows], raw[rows], origins)
        for rows in (slice(i, i + _ROWS) for i in range(0, max(len(values), 1), _ROWS))
    ]
    return np.concatenate(parts)


def _features(values: Floats, level: Floats, gap: Floats, raw: Floats, origins: Ints) -> Floats:
    n, m = len(values), len(origins)
    below = np.full((n, HISTORY_STEPS + values.shape[1]), np.nan)
    below[:, HISTORY_STEPS:] = (values - level[:, None]) / gap[:, None]
    windows = np.lib.stride_tricks.sliding_window_view(below, HISTORY_STEPS, axis=1)[:, origins]
    features = np.empty((n, m, FEATURES), np.float32)
    features[..., :_LEADS] = logit(clipped(raw))
    distance = -_newest(windows[..., -_NEWEST:])
    features[..., _DISTANCE] = np.clip(distance, -1, _LIMITS["distance"])
    for i, steps in enumerate(SLOPE_STEPS):
        slope, t = _line(windows[..., -steps:])
        hours = np.where(slope > 0, np.maximum(distance, 0) / np.maximum(slope, 1e-9), np.inf)
        features[..., _SLOPE + i] = np.clip(slope, -_LIMITS["slope"], _LIMITS["slope"])
        features[..., _T + i] = np.clip(t, -_LIMITS["t"], _LIMITS["t"])
        features[..., _CLOSE + i] = 1 / (1 + np.minimum(hours, _LIMITS["hours"]))
    return features


def _newest(last: Floats) -> Floats:
    """Return the last known value of the last steps [..., k]; NaN where none is known."""
    newest = last[..., 0]
    for i in range(1, last.shape[-1]):
        newest = np.where(np.isnan(last[..., i]), newest, last[..., i])
    return newest


def _line(window: Floats) -> tuple[Floats, Floats]:
    """Return slope per hour and t-value of lines through [..., steps]; 0 where half is missing."""
    steps = window.shape[-1]
    hours = np.arange(steps) * STEP_MINUTES / 60
    seen = ~np.isnan(window)
    count = np.maximum(seen.sum(axis=-1, keepdims=True), 1)
    x = np.where(seen, hours - (seen * hours).sum(axis=-1, keepdims=True) / count, 0.0)
    y = np.where(seen, window, 0.0)
    y = np.where(seen, y - y.sum(axis=-1, keepdims=True) / count, 0.0)
    spread = np.maximum((x * x).sum(axis=-1), 1e-9)
    slope = (x * y).sum(axis=-1) / spread
    left = np.maximum((y * y).sum(axis=-1) - slope**2 * spread, 0.0)
    error = np.sqrt(left / np.maximum(count[..., 0] - 2, 1) / spread)
    enough = count[..., 0] >= _LEAST_SEEN * steps
    return np.where(enough, slope, 0.0), np.where(enough, slope / np.maximum(error, 1e-3), 0.0)


def fit_trend(features: Floats, metric: Ints, came: Floats, weight: Floats) -> TrendHead:
    """Return the head fitted on features [m, F] of judged metrics [m] and what came [m, leads].

    NaN came is not known; `weight` [m] counts cases that stand for others.
    """
    x = _terms(features, metric)
    mean = np.average(x, axis=0, weights=weight)
    scale = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    scale = np.maximum(scale, _LEAST_SCALE)
    x = np.concatenate([np.ones((len(x), 1)), (x - mean) / scale], axis=1)
    ridge = np.full(TERMS + 1, _RIDGE)
    ridge[0] = 0.0
    coefficients = np.zeros((_LEADS, TERMS + 1))
    for lead in range(_LEADS):
        known = ~np.isnan(came[:, lead])
        start = np.zeros(TERMS + 1)
        coefficients[lead] = logistic(x[known], came[known, lead], weight[known], ridge, start)
    return TrendHead(mean, scale, coefficients)


def drivers(head: TrendHead, features: Floats, metric: int, level: float, gap: float) -> list[str]:
    """Return what raises the odds of one case, features [F], in words, strongest first.

    `level` and `gap` are those of judged metric `metric`, signed.
    """
    shares = head.contributions(features, metric, _HOUR)
    forecast = float(shares[:_LEADS].sum() + shares[_CLOSE_ODDS])
    distance = _distance_text(metric, features, level, gap)
    causes = [
        (forecast, "the forecast itself"),
        (float(shares[[_DISTANCE, _NEAR]].sum()), distance),
    ]
    climbs = [
        (float(shares[[first + i for first in _OF_WINDOW]].sum()), i)
        for i in range(_WINDOWS) if features[_T + i] >= _SURE
    ]  # fmt: skip
    if climbs:
        share, i = max(climbs)
        slope = float(features[_SLOPE + i]) * gap
        causes.append((share, _slope_text(metric, slope, SLOPE_STEPS[i])))
    strongest = sorted(causes, key=lambda cause: -cause[0])
    return [text for share, text in strongest if share >= _LEAST_DRIVER]


def _distance_text(metric: int, features: Floats, level: float, gap: float) -> str:
    value = level - float(features[_DISTANCE]) * gap
    return f"{label(metric)} is at {value_text(metric, value)} of {value_text(metric, level)}"


def _slope_text(metric: int, slope: float, steps: int) -> str:
    minutes = steps * STEP_MINUTES
    span = f"{minutes // 60} h" if minutes >= 60 else f"{minutes} min"
    points = "points " if JUDGED[metric].unit == "%" else ""
    return f"{label(metric)} has climbed by {amount(slope)} {points}per hour for {span}"
