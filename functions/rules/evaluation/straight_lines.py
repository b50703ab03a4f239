"""Straight lines: the alert rules that people use today, which warnings have to beat.

Values are [n, T] on the 5-minute grid with NaN for a gap, signed so that more is worse; `level` is
[n]. A condition is [n, T], as of the end of each step, and false where it cannot be computed.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, STEP_MINUTES

__all__ = [
    "PEERS",
    "at_level",
    "conditions",
    "intervals",
    "latched",
    "met",
    "met_for",
    "predict_linear",
    "predicted_at_level",
    "seasonal_at_level",
]  # fmt: skip

HOUR = 60 // STEP_MINUTES

# The conditions of `conditions`, in the order in which they are shown.
PEERS = (
    "critical level now", "warn level now", "predict_linear[1h], 4 h ahead",
    "predict_linear[6h], 4 h ahead", "seasonal naive, 8 h ahead",
)  # fmt: skip

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def conditions(values: Floats, critical: Floats, warn: Floats) -> Mapping[str, Flags]:
    """Return the condition of each rule of PEERS."""
    critical_now = at_level(values, critical)
    lines = [predicted_at_level(values, critical, hours * HOUR, 4 * HOUR) for hours in (1, 6)]
    seasonal = seasonal_at_level(values, critical)
    return dict(zip(PEERS, (critical_now, at_level(values, warn), *lines, seasonal), strict=True))


def at_level(values: Floats, level: Floats) -> Flags:
    """True where the value is at or over the level."""
    with np.errstate(invalid="ignore"):
        reached: Flags = values >= level[:, None]
    return reached


def predict_linear(values: Floats, window: int, ahead: float) -> Floats:
    """Prometheus's predict_linear(values[window steps], ahead steps) at each step.

    The least-squares line over the samples in the window, read `ahead` steps after the newest
    step; NaN with fewer than two samples.
    """
    known = ~np.isnan(values)
    count = _over(known.astype(np.float64), window)
    reference = np.nanmean(np.where(known.any(1, keepdims=True), values, 0.0), 1, keepdims=True)
    y = np.where(known, values - reference, 0.0)  # near 0: sums of large values lose digits
    sums = [np.zeros_like(y) for _ in range(4)]  # of x, xx, y, xy; x is 0 at the newest step
    for back in range(min(window, y.shape[1])):
        seen, then = _shifted(known.astype(np.float64), back), _shifted(y, back)
        for total, part in zip(
            sums, (-back * seen, back**2 * seen, then, -back * then), strict=True
        ):
            total += part
    x1, x2, y1, xy = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (count * xy - x1 * y1) / (count * x2 - x1**2)
        line = (y1 - slope * x1) / count + slope * ahead + reference
    return np.asarray(np.where(count >= 2, line, np.nan))


def predicted_at_level(values: Floats, level: Floats, window: int, ahead: int) -> Flags:
    """True where the line through the last `window` steps reaches the level `ahead` steps on."""
    return at_level(predict_linear(values, window, ahead), level)


def seasonal_at_level(values: Floats, level: Floats) -> Flags:
    """True where, 24 h before, three steps of the next 8 h in a row were at or over the level."""
    reached = at_level(values, level)
    three = reached[:, :-2] & reached[:, 1:-1] & reached[:, 2:]
    length = values.shape[1]
    began = np.zeros((len(values), length + 1))
    began[:, 1 : three.shape[1] + 1] = np.cumsum(three, axis=1)
    began[:, three.shape[1] + 1 :] = began[:, three.shape[1], None]
    # As of the end of step t the next 8 h are t+1 … t+96; of the day before, t-287 … t-192.
    first = np.clip(np.arange(length) + 1 - CONTEXT_STEPS, 0, length)
    last = np.clip(np.arange(length) - CONTEXT_STEPS + HORIZON_STEPS - 1, 0, length)
    return np.asarray(began[:, last] - began[:, first] > 0)


def latched(opens: Flags, calm: Flags, close_after: int, quiet: int = 0) -> Flags:
    """Open [n, T] from where `opens` until `calm` held for `close_after` steps in a row.

    After it closes, nothing opens for `quiet` steps.
    """
    state = np.zeros_like(opens)
    is_open = np.zeros(len(opens), np.bool_)
    calm_steps = np.zeros(len(opens), np.int64)
    closed_for = np.full(len(opens), quiet)
    for t in range(opens.shape[1]):
        calm_steps = np.where(calm[:, t], calm_steps + 1, 0)
        closing = is_open & (calm_steps >= close_after)
        opening = ~is_open & opens[:, t] & (closed_for >= quiet)
        closed_for = np.where(closing, 0, closed_for + 1)
        is_open = (is_open & ~closing) | opening
        state[:, t] = is_open
    return state


def met(condition: Flags, needed: int, of: int) -> Flags:
    """True where `needed` of the last `of` steps fulfil the condition."""
    return np.asarray(_over(condition.astype(np.float64), of) >= needed)


def met_for(condition: Flags, minutes: float) -> Flags:
    """True where the condition held for so long: Prometheus's `for:`, evaluated at each step."""
    steps = 1 + math.ceil(minutes / STEP_MINUTES)
    return met(condition, steps, steps)


def intervals(state: Flags) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows, first steps and stops (exclusive) of the runs of True in `state` [n, T]."""
    padded = np.zeros((len(state), state.shape[1] + 2), np.int8)
    padded[:, 1:-1] = state
    edges = np.diff(padded, axis=1)
    rows, starts = np.nonzero(edges == 1)
    _, stops = np.nonzero(edges == -1)
    return rows, starts, stops


def _over(values: Floats, window: int) -> Floats:
    """Sum over the last `window` steps, at each step."""
    total = np.cumsum(values, axis=1)
    total[:, window:] -= total[:, :-window].copy()
    return total


def _shifted(values: Floats, back: int) -> Floats:
    """The value `back` steps before, 0 where there is none."""
    moved = np.zeros_like(values)
    moved[:, back:] = values[:, : values.shape[1] - back]
    return moved
