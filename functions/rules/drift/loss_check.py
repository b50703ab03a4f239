"""Loss check: whether the forecasts of a fleet have become worse than in its reference week.

The loss of each series is taken relative to its mean of the reference week, as a logarithm; a
server's value is their mean without the outer fifths, less the fleet's median of that class of hour
and day. Days are common shocks of a fleet, so the bound has two parts: the spread over servers
(bootstrap) and the spread of the same hours over the days of the reference week.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from functions.rules.defaults import DRIFT_CHECKS, DRIFT_LIMIT

__all__ = [
    "HISTORY_HOURS", "RECENT_HOURS", "LossCheck", "ServerLosses", "check_losses", "hour_class",
    "next_count", "reference_hours",
]  # fmt: skip

RECENT_HOURS = 12
REFERENCE_HOURS = 168
LEAST_REFERENCE_HOURS = 72
# The reference ends so long before the check that a drift of three days is not in it yet.
LAG_HOURS = 84
HISTORY_HOURS = REFERENCE_HOURS + LAG_HOURS
TRIMMED = 0.2  # of a server's series, at each end: an incident moves a few of them
BOUND_SIGMAS = 3.0
LEAST_DAYS = 2
_STILL = 1e-6  # a series with less loss than this in the reference week has nothing to compare
_LEAST_RATIO = 1e-3
_DRAWS = 200
_SEED = 20_260_101
_MONDAY_HOUR = 4 * 24  # 1970-01-05 00:00 in hours since 1970

Floats = NDArray[np.float64]
Hours = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LossCheck:
    """Logarithm of recent loss / reference and its lower bound; NaN where there is no reference."""

    ratio: float
    lower: float

    @property
    def known(self) -> bool:
        """Return True if there was enough to compare."""
        return math.isfinite(self.ratio) and math.isfinite(self.lower)

    @property
    def over(self) -> bool:
        """Return True if the loss is higher than the limit beyond its noise."""
        return self.known and self.lower > math.log(DRIFT_LIMIT)


@dataclass(frozen=True, slots=True)
class ServerLosses:
    """What each of S servers lost in the recent hours, and on D days of the reference week.

    Both are logarithms of the ratio to the reference, NaN where unknown.
    """

    recent: Floats  # [S]
    days: Floats  # [S, D], the same hours of the day

    def group(self, members: NDArray[np.bool_]) -> LossCheck:
        """Return the check of some servers: the median over them, bound by servers and days."""
        values = self.recent[members]
        values = values[np.isfinite(values)]
        noise = _day_noise(_nanmedian(self.days[members], axis=0))
        if not len(values) or noise is None:
            return LossCheck(math.nan, math.nan)
        ratio = float(np.median(values))
        spread = math.hypot(_median_error(values), noise)
        return LossCheck(ratio, ratio - BOUND_SIGMAS * spread)

    def server(self, row: int) -> LossCheck:
        """Return the check of one server, bound by its own days."""
        noise = _day_noise(self.days[row])
        ratio = float(self.recent[row])
        return LossCheck(ratio, math.nan if noise is None else ratio - BOUND_SIGMAS * noise)


def check_losses(losses: Floats, first_hour: int) -> ServerLosses | None:
    """Compare the last RECENT_HOURS of `losses` [S, H, M] with the reference hours before.

    `losses` are mean losses per server, hour and metric, NaN where unknown; `first_hour` is the
    first hour since 1970. None: the history is too short.
    """
    count = losses.shape[1]
    reference = reference_hours(count)
    if reference is None:
        return None
    values = _server_values(losses, reference)  # [S, H]
    classes = hour_class(first_hour + np.arange(count))
    recent = np.arange(count - RECENT_HOURS, count)
    hours = np.arange(reference.start, reference.stop)
    days = [
        _deviation(values, classes, day, np.setdiff1d(hours, day))
        for back in range(24, count, 24)
        if (day := recent - back)[0] >= reference.start and day[-1] < reference.stop
    ]
    stacked = np.stack(days, axis=1) if days else np.empty((len(values), 0))
    return ServerLosses(_deviation(values, classes, recent, hours), stacked)


def reference_hours(count: int) -> slice | None:
    """Return which of `count` hours are the reference; None if there are too few.

    It is the week that ended LAG_HOURS ago; with less history it is what came before the recent 24
    hours, and stays the first week until it is old enough.
    """
    end = min(max(count - LAG_HOURS, REFERENCE_HOURS), count - 24)
    start = max(0, end - REFERENCE_HOURS)
    return slice(start, end) if end - start >= LEAST_REFERENCE_HOURS else None


def hour_class(hours: Hours) -> Hours:
    """Return 0 to 23 for the hours of working days, 24 to 47 at weekends; UTC, since 1970."""
    since_monday = hours - _MONDAY_HOUR
    weekend = (since_monday // 24) % 7 >= 5
    return np.asarray(since_monday % 24 + 24 * weekend, np.int64)


def next_count(before: int, check: LossCheck) -> tuple[int, bool]:
    """Return the checks in a row over the limit, and whether they are enough for a drift.

    A check without a reference changes nothing.
    """
    count = before if not check.known else before + 1 if check.over else 0
    return count, count >= DRIFT_CHECKS


def _server_values(losses: Floats, reference: slice) -> Floats:
    """Return each server's logarithm of loss / reference by hour [S, H], over its metrics."""
    usual = _nanmean(losses[:, reference], axis=1)[:, None]  # [S, 1, M]
    moves = usual > _STILL
    ratio = np.where(moves, losses / np.where(moves, usual, 1.0), np.nan)
    return _trimmed_mean(np.log(np.maximum(ratio, _LEAST_RATIO)))


def _trimmed_mean(values: Floats) -> Floats:
    """Return the mean over the last axis without TRIMMED of the known values at each end."""
    ordered = np.sort(values, axis=-1)  # NaN last
    known = np.isfinite(ordered).sum(-1, keepdims=True)
    cut = (known * TRIMMED).astype(np.int64)
    place = np.arange(values.shape[-1])
    kept = (place >= cut) & (place < known - cut)
    total = np.where(kept, ordered, 0.0).sum(-1)
    count = kept.sum(-1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _deviation(values: Floats, classes: Hours, hours: Hours, reference: Hours) -> Floats:
    """Return the mean over `hours` of each server, less the fleet's median of the same class."""
    fleet = np.full(48, np.nan)
    for each in np.unique(classes[hours]):
        same = values[:, reference[classes[reference] == each]]
        fleet[each] = float(_nanmedian(same.reshape(1, -1), axis=1)[0])
    return _nanmean(values[:, hours] - fleet[classes[hours]], axis=1)


def _day_noise(days: Floats) -> float | None:
    """Return the standard deviation from 0 over days [D]; None if there are too few."""
    known = days[np.isfinite(days)]
    return float(np.sqrt(np.mean(known**2))) if len(known) >= LEAST_DAYS else None


def _median_error(values: Floats) -> float:
    """Return the standard error of the median over servers [S], by bootstrap."""
    rows = np.random.default_rng(_SEED).integers(0, len(values), (_DRAWS, len(values)))
    return float(np.median(values[rows], axis=1).std())


def _nanmean(values: Floats, axis: int) -> Floats:
    known = np.isfinite(values)
    count = known.sum(axis)
    total = np.where(known, values, 0.0).sum(axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _nanmedian(values: Floats, axis: int) -> Floats:
    if not values.size:
        shape = tuple(n for place, n in enumerate(values.shape) if place != axis)
        return np.full(shape, np.nan)
    ordered = np.sort(values, axis=axis)  # NaN last
    count = np.isfinite(ordered).sum(axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[axis] - 1), axis)
    return np.asarray(np.squeeze((low + high) / 2, axis))
