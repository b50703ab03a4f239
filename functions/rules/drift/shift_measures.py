"""Shift measures: what has changed in a server's readings, by class of hour; shown, never decide.

The last 24 h are compared slot by slot with the days before of the same class (working day or
weekend), so that neither a weekend nor its borders are a change.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["COMBINED_LIMIT", "KS_LIMIT", "LIMITS", "WEIGHTS", "Shifts", "combined", "shifts"]

# Prediction error, distribution shift, feature drift, anomaly rate.
WEIGHTS = (0.40, 0.30, 0.20, 0.10)
LIMITS = (0.10, 0.20, 0.15, 0.05)
COMBINED_LIMIT = 0.10
KS_LIMIT = 0.30  # of a server: it is named
LEAST_SLOTS = 12  # of the recent day, and twice as many of the days before
_SIGMAS = 3.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shifts:
    """Measures of S servers by metric [S, M], NaN where too little is known or nothing moves.

    A metric that only ever grows, such as a counter, has other values each day: leave it out.
    """

    distribution: Floats  # two-sample Kolmogorov-Smirnov distance, 0 to 1
    mean: Floats  # shift of the mean in standard deviations / 3, at most 1


def shifts(values: Floats, weekend: NDArray[np.bool_]) -> Shifts:
    """Compare the last day of `values` [S, D, slots, M] with the days before it of its class.

    `weekend` [D, slots] is the class of each slot; NaN is missing.
    """
    servers, days, slots, metrics = values.shape
    flat = values.transpose(0, 3, 1, 2).reshape(servers * metrics, days * slots)
    same = np.asarray(weekend[:-1] == weekend[-1]).reshape(-1)  # [(D - 1) * slots]
    known = np.isfinite(flat)
    recent, past = known[:, same.size :], known[:, : same.size] & same
    enough = (recent.sum(1) >= LEAST_SLOTS) & (past.sum(1) >= 2 * LEAST_SLOTS)
    weights = np.concatenate([_past_weights(past, days - 1), -_shares(recent)], axis=1)
    distance, mean = np.full(len(flat), np.nan), np.full(len(flat), np.nan)
    if enough.any():
        distance[enough] = _distances(flat[enough], weights[enough])
        mean[enough] = _mean_shifts(flat[enough], weights[enough], same.size)
    distance[np.isnan(mean) & (distance < 1e-9)] = np.nan  # still, before and now
    return Shifts(distance.reshape(servers, metrics), mean.reshape(servers, metrics))


def combined(
    prediction_error: float, distribution: float, feature: float, anomaly_rate: float
) -> float:
    """Return the weighted sum of the four measures; NaN if one is unknown."""
    parts = (prediction_error, distribution, feature, anomaly_rate)
    return float(sum(w * part for w, part in zip(WEIGHTS, parts, strict=True)))


def _shares(known: NDArray[np.bool_]) -> Floats:
    return np.asarray(known / np.maximum(known.sum(1, keepdims=True), 1))


def _past_weights(known: NDArray[np.bool_], days: int) -> Floats:
    """Return weights [N, days * slots] by which each slot of the day counts the same."""
    by_day = known.reshape(len(known), days, -1)
    per_slot = by_day.sum(1, keepdims=True)
    weights = np.where(by_day, 1.0 / np.maximum(per_slot, 1), 0.0)
    filled = np.maximum((per_slot > 0).sum(2, keepdims=True), 1)
    return np.asarray((weights / filled).reshape(known.shape))


def _distances(values: Floats, weights: Floats) -> Floats:
    """Return the largest difference of two weighted distributions [N], of one sign each."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, 1)
    steps = np.cumsum(np.take_along_axis(weights, order, 1), axis=1)
    last = np.ones(values.shape, np.bool_)  # of equal values
    last[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
    return np.asarray(np.abs(np.where(last, steps, 0.0)).max(1))


def _mean_shifts(values: Floats, weights: Floats, past: int) -> Floats:
    """Return the shift of the mean in σ of the past / 3, at most 1; NaN if nothing moved."""
    filled = np.where(np.isfinite(values), values, 0.0)
    before, now = filled[:, :past], filled[:, past:]
    mean = (before * weights[:, :past]).sum(1)
    spread = np.sqrt((weights[:, :past] * (before - mean[:, None]) ** 2).sum(1))
    moved = np.abs(-(now * weights[:, past:]).sum(1) - mean)
    moves = spread > 1e-9
    shift = np.minimum(moved / np.where(moves, spread, 1.0) / _SIGMAS, 1.0)
    return np.asarray(np.where(moves, shift, np.nan))
