"""Abstention: when no forecast of a metric is served although the model made one, and why.

skill(losses, …)              served losses against the better naive forecast, over 7 days
without_skill(…)              where that is below 0, until it is above 0 again by a margin
with_gaps(context)            where too few steps have a reading
outside(context, quantiles)   where the forecast leaves all that the context has
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from functions.rules.defaults import (
    FARTHEST_MEDIAN,
    LEAST_KNOWN_SHARE,
    LEAST_LOSS_EXCESS,
    SKILL_HOURS,
    SKILL_TO_RETURN,
)
from storage.model.grid import QUANTILES
from storage.model.metrics import METRICS

__all__ = ["gap_reason", "no_skill_reason", "outside", "skill", "with_gaps", "without_skill"]

OUTSIDE_REASON = (
    f"far outside: the forecast leaves all readings of 24 h by more than {FARTHEST_MEDIAN:g} times "
    "their range, so the model does not know such readings"
)
_MEDIAN = QUANTILES.index(0.5)
# What counts as movement of a series that does not move: 1 % of the scale or of its own size.
_SCALE = np.array([0.0 if m.highest is None else m.highest - m.lowest for m in METRICS])
_STILL = 0.01

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


def skill(served: Floats, last: Floats, seasonal: Floats) -> Floats:
    """Return 1 − loss / naive loss from sums [n, M]; NaN where the naive ones made no error.

    `last` and `seasonal` are the losses of the last value and of the value 24 h before; the better
    counts.
    """
    naive = np.fmin(last, seasonal)
    known = np.isfinite(served) & (naive > 0)
    return np.where(known, 1 - served / np.where(known, naive, 1), np.nan)


def without_skill(skill: Floats, excess: Floats, hours: Floats, abstained: Mask) -> Mask:
    """Return where the skill [n, M] is below 0, or is not yet above it after an abstention.

    `excess` is the served loss above the naive one as a share of the metric's scale: where it is
    negligible, the series is all but still. `hours` of scores are needed for a judgement.
    """
    limit = np.where(abstained, SKILL_TO_RETURN, 0.0)
    with np.errstate(invalid="ignore"):
        below = (skill < limit) & (abstained | (excess > LEAST_LOSS_EXCESS))
    return np.asarray(below & (hours >= SKILL_HOURS))


def no_skill_reason(skill: float) -> str:
    """Return why a forecast with this skill is not served."""
    return f"no skill: its losses of 7 days are {1 - skill:.2f} times those of a naive forecast"


def with_gaps(context: Floats) -> tuple[Mask, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where too few steps of `context` [n, steps, M] have a reading: [n, M].

    Also how many have one, and of how many since the first reading.
    """
    known = np.isfinite(context)
    count = known.sum(axis=1)
    since = np.where(known.any(axis=1), context.shape[1] - known.argmax(axis=1), 0)
    return count < LEAST_KNOWN_SHARE * since, count, since


def gap_reason(known: int, steps: int) -> str:
    """Return why a forecast from `known` readings in `steps` steps is not served."""
    return f"too many gaps: {known} of the last {steps} steps have a reading"


def outside(context: Floats, quantiles: Floats) -> Mask:
    """Return where the median of `quantiles` [n, 96, M, 7] leaves the readings of the context.

    That is by more than FARTHEST_MEDIAN times their range [n, steps, M].
    """
    known = np.isfinite(context)
    high = np.where(known, context, -np.inf).max(axis=1)
    low = np.where(known, context, np.inf).min(axis=1)
    median = quantiles[..., _MEDIAN]
    with np.errstate(invalid="ignore"):
        size = np.maximum(_SCALE, np.maximum(np.abs(high), np.abs(low)))
        distance = np.maximum(median.max(axis=1) - high, low - median.min(axis=1))
        far = distance > FARTHEST_MEDIAN * np.maximum(high - low, _STILL * size)
    return np.asarray(far & np.isfinite(distance))
