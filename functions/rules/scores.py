"""Scores: sums of the losses and hits of forecasts whose targets have passed.

Sums of any parts of a fleet or of time add up to those of the whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.model.grid import (
    BAND_LEVELS,
    BUCKET_MINUTES,
    CONTEXT_STEPS,
    QUANTILES,
    STEP_MINUTES,
)

__all__ = ["COUNTS", "SUMS", "DueForecasts", "HourSums", "Observed", "loss"]

DAY_STEPS = CONTEXT_STEPS  # the value of the seasonal naive is that of so many steps before
WITHIN = 0.1  # of the scale
MEDIAN = QUANTILES.index(0.5)
BUCKET_ENDS = tuple(minutes // STEP_MINUTES for minutes in BUCKET_MINUTES)  # in steps
# The quantiles between which each central band lies: (2, 4), (1, 5), (0, 6).
BANDS = tuple((MEDIAN - place, MEDIAN + place) for place in range(1, len(BAND_LEVELS) + 1))

SUMS = (
    "loss", "loss_model", "loss_calibrated", "loss_context", "loss_seasonal_band",
    "loss_last_band", "error", "error_model", "error_naive", "error_seasonal",
)  # fmt: skip
COUNTS = (
    "targets", "abstained", "shadow", "acted_on", "moving",
    *(f"inside_{level}" for level in BAND_LEVELS),
    *(f"inside_{level}_model" for level in BAND_LEVELS),
    "within_10",
)  # fmt: skip

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

_TAU = np.array(QUANTILES, np.float32)
_ONES = np.ones(len(QUANTILES), np.float32)


@dataclass(frozen=True)
class Observed:
    """What happened to n series (each a metric of a server), in 5-minute steps.

    `values` [n, steps] are means, oldest first, NaN where there is none; they begin 24 h before
    the first forecast. `acted` [n, steps] is True where somebody acted on the server. `scale` [n]
    is the scale of the metric, NaN where it is not known. `counter` [n] marks metrics that only
    count up: like a still series they have no spread that a band could hold.
    """

    values: Floats
    acted: Mask
    scale: Floats
    counter: Mask

    @cached_property
    def last(self) -> Floats:
        """The newest value before each step [n, steps]; NaN where there is none."""
        return _before(self._filled)

    @cached_property
    def acts(self) -> npt.NDArray[np.int32]:
        """The number of steps before each one in which somebody acted [n, steps + 1]."""
        return _counted(self.acted)

    @cached_property
    def changes(self) -> npt.NDArray[np.int32]:
        """The number of steps before each one that differ from the value before [n, steps + 1]."""
        return _counted(np.isfinite(self.last) & (self._filled != self.last))

    @cached_property
    def _filled(self) -> Floats:
        known = np.isfinite(self.values)
        place = np.maximum.accumulate(np.where(known, np.arange(known.shape[1]), 0), axis=1)
        filled: Floats = np.take_along_axis(self.values, place, axis=1)
        return filled


@dataclass(frozen=True, slots=True)
class DueForecasts:
    """Forecasts of k series from one issue, of the t steps of it whose targets are scored.

    `series` [k] are their places in what was observed, `step` is that of the first target there,
    and `lead` is its place among the forecast's steps. Each forecast is [k, t, 7], NaN where there
    is none; `is_served` [k] is False where it was made and not served.
    """

    series: Ints
    step: int
    lead: int
    is_served: Mask
    served: Floats
    model: Floats
    calibrated: Floats
    context: Floats
    seasonal: Floats
    last: Floats

    @property
    def issue(self) -> int:
        """The place of the first step that was forecast."""
        return self.step - self.lead

    @property
    def targets(self) -> slice:
        """The places of the targets in what was observed."""
        return slice(self.step, self.step + self.model.shape[1])

    def by_bucket(self) -> Iterator[tuple[int, "DueForecasts"]]:
        """Yield each lead bucket that occurs, by its number, and the part that lies in it."""
        begin = 0
        for bucket, end in enumerate(BUCKET_ENDS):
            low = max(begin - self.lead, 0)
            high = min(end - self.lead, self.model.shape[1])
            begin = end
            if low < high:
                yield bucket, self._part(low, high)

    def _part(self, low: int, high: int) -> "DueForecasts":
        forecasts = [getattr(self, f.name)[:, low:high] for f in fields(self)[4:]]
        place = self.step + low, self.lead + low
        return DueForecasts(self.series, *place, self.is_served, *forecasts)


class HourSums:
    """Sums and counts of one hour of targets and one model, for each series and lead bucket.

    `sums` is float64 [n, buckets, SUMS] and `counts` int64 [n, buckets, COUNTS]. A sum is NaN
    where a target has a forecast of the model and none of the kind that is summed.
    """

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        shape = len(observed.values), len(BUCKET_MINUTES)
        self.sums = np.zeros((*shape, len(SUMS)))
        self.counts = np.zeros((*shape, len(COUNTS)), np.int64)

    def add(self, due: DueForecasts) -> None:
        """Add the forecasts of one issue; a series occurs in it once."""
        for bucket, part in due.by_bucket():
            cases = _Cases(self._observed, part)
            self.counts[due.series, bucket] += cases.counts()
            self.sums[due.series, bucket] += cases.sums()

    @property
    def counted(self) -> Mask:
        """A mask [n, buckets] of those in which something was counted."""
        return np.asarray(self.counts[..., :4].any(axis=2))


class _Cases:
    """Forecasts of one lead bucket next to what happened: arrays [k, t]."""

    def __init__(self, observed: Observed, due: DueForecasts) -> None:
        self._observed, self._due = observed, due
        self._values = observed.values[due.series, due.targets]
        known = np.isfinite(self._values)
        forecast = np.isfinite(due.model).all(axis=2)
        until = slice(due.targets.start + 1, due.targets.stop + 1)
        acted = observed.acts[due.series, until] > observed.acts[due.series, due.issue, None]
        self._known, self._forecast = known, forecast
        self._acted = known & forecast & acted
        self._scored = known & forecast & ~acted

    def sums(self) -> Floats:
        """Return [k, SUMS]."""
        due, last = self._due, self._observed.last[self._due.series, self._due.issue, None]
        columns = [loss(self._values, each) for each in self._forecasts()]
        columns += [np.abs(self._values - each[..., MEDIAN]) for each in (due.served, due.model)]
        columns += [np.abs(self._values - each) for each in (last, self._day_before(last))]
        return np.stack([np.where(self._scored, each, 0).sum(axis=1) for each in columns], axis=1)

    def counts(self) -> npt.NDArray[np.int64]:
        """Return [k, COUNTS]."""
        due, scored = self._due, self._scored
        silent = ~due.is_served[:, None]
        moving = scored & self._moves()[:, None]
        inside = [
            moving & self._between(bands[..., low], bands[..., high])
            for bands in (due.served, due.model) for low, high in BANDS
        ]  # fmt: skip
        columns = [
            scored, self._known & (silent | ~self._forecast), scored & silent, self._acted, moving,
            *inside, scored & self._is_near(),
        ]  # fmt: skip
        return np.stack([each.sum(axis=1) for each in columns], axis=1)

    def _forecasts(self) -> tuple[Floats, ...]:
        due = self._due
        return due.served, due.model, due.calibrated, due.context, due.seasonal, due.last

    def _day_before(self, last: Floats) -> Floats:
        """Return the values 24 h before the targets; where missing, the last before the issue."""
        first, stop = self._due.step - DAY_STEPS, self._due.targets.stop - DAY_STEPS
        seasonal = self._observed.values[self._due.series, first:stop]
        return np.where(np.isfinite(seasonal), seasonal, last)

    def _moves(self) -> Mask:
        """Return True [k] for a series that changed in the 24 h before the issue; not a counter."""
        changes, issue, series = self._observed.changes, self._due.issue, self._due.series
        since = max(issue - DAY_STEPS + 1, 0)
        changed = changes[series, issue] > changes[series, since]
        return np.asarray(changed & ~self._observed.counter[series])

    def _between(self, low: Floats, high: Floats) -> Mask:
        with np.errstate(invalid="ignore"):
            return np.asarray((low <= self._values) & (self._values <= high))

    def _is_near(self) -> Mask:
        error = np.abs(self._values - self._due.served[..., MEDIAN])
        with np.errstate(invalid="ignore"):
            return np.asarray(error <= WITHIN * self._observed.scale[self._due.series, None])


def loss(values: Floats, quantiles: Floats) -> Floats:
    """Return 2/7 of the sum of the pinball losses of `quantiles` [..., 7] for `values` [...].

    For a forecast whose quantiles are all the same value it is its absolute error.
    """
    distance = values[..., None] - quantiles
    # the pinball loss of d at τ is max(τ d, (τ − 1) d) = τ d − min(d, 0)
    total: Floats = distance @ _TAU - np.minimum(distance, 0) @ _ONES
    return total * np.float32(2 / len(QUANTILES))


def _before(values: Floats) -> Floats:
    """Return the value of the step before each step [n, steps]; NaN for the first one."""
    shifted = np.full_like(values, np.nan)
    shifted[:, 1:] = values[:, :-1]
    return shifted


def _counted(mask: Mask) -> npt.NDArray[np.int32]:
    """Return how many are True before each place of a mask [n, steps]: [n, steps + 1]."""
    counted = np.zeros((mask.shape[0], mask.shape[1] + 1), np.int32)
    np.cumsum(mask, axis=1, out=counted[:, 1:])
    return counted
