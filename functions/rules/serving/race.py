"""Race: shares of the model and of three naive forecasts in what is served, by recent losses.

A naive forecast gets a share only by an advantage over the model that exceeds its noise. Arrays
have the axes server, metric, lead bucket and candidate (CANDIDATES: the model is the first).

    updated(state, losses)       the state after one more hour of scores
    weights(state, scale)        the shares
    seasonal_band, last_band     quantiles of the naive forecasts' own errors of 48 h
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from functions.rules.defaults import (
    RACE_CASE_HOURS,
    RACE_CAUTION,
    RACE_ETA,
    RACE_EVIDENCE_HOURS,
    RACE_HALF_LIFE_HOURS,
    RACE_LEAST_LOSS,
    RACE_LEAST_SHARE,
    RACE_MARGIN,
    RACE_PRIOR,
)
from storage.model.grid import BUCKET_MINUTES, CONTEXT_STEPS, QUANTILES, STEP_MINUTES
from storage.model.served import CANDIDATES

__all__ = [
    "BAND_STEPS", "HISTORY_STEPS", "RaceState", "context_quantiles", "last_band", "leading",
    "seasonal_band", "updated", "weights",
]  # fmt: skip

BAND_STEPS = 2 * CONTEXT_STEPS  # errors of 48 h make a band
HISTORY_STEPS = BAND_STEPS + CONTEXT_STEPS  # and need the day before

_LEAST_ERRORS = CONTEXT_STEPS  # so many errors before there is a band: 48 h of history
_THINNED = 3  # of neighbouring errors, one in so many is taken
# The leads whose errors make the band of each bucket, in steps.
_LEADS = [
    np.linspace(begin, end, 5).round().astype(int)[1:]
    for begin, end in zip(
        (0, *(m // STEP_MINUTES for m in BUCKET_MINUTES)),
        (m // STEP_MINUTES for m in BUCKET_MINUTES),
        strict=False,
    )
]
_LARGEST_RATIO = 3.0  # one series on which a naive forecast fails must not decide for the fleet
_TINY = 1e-9
_DECAY = 0.5 ** (1 / RACE_HALF_LIFE_HOURS)

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class RaceState:
    """Exponentially weighted means of hourly losses, each [n, 14, 3, 4]."""

    loss: Floats
    difference: Floats  # to the model's loss in the same hours
    noise: Floats  # mean square of that difference
    hours: Floats  # of evidence, with their weights

    @classmethod
    def new(cls, servers: int, metrics: int) -> "RaceState":
        """Return the state without evidence."""
        shape = servers, metrics, len(BUCKET_MINUTES), len(CANDIDATES)
        return cls(*(np.zeros(shape) for _ in fields(cls)))


def updated(state: RaceState, losses: Floats) -> RaceState:
    """Return the state after one more hour.

    `losses` [n, 14, 3, 4] are mean losses of its targets, NaN where there were none.
    """
    difference = losses - losses[..., :1]
    known = np.isfinite(difference)
    hours = np.where(known, state.hours * _DECAY + 1, state.hours)
    share = np.where(known, 1 / np.maximum(hours, 1), 0)

    def mean(old: Floats, new: Floats) -> Floats:
        return old + share * (np.where(known, new, 0) - old)

    return RaceState(
        mean(state.loss, losses),
        mean(state.difference, difference),
        mean(state.noise, np.square(difference)),
        hours,
    )


def weights(state: RaceState, scale: Floats) -> npt.NDArray[np.float32]:
    """Return the shares [n, 14, 3, 4]; they sum to 1.

    `scale` [n, 14] is that of each series: losses that are negligible on it decide nothing.
    """
    hours = np.maximum(state.hours, _TINY)
    base = np.maximum(
        state.loss[..., :1], np.maximum(RACE_LEAST_LOSS * scale, _TINY)[..., None, None]
    )
    relative = np.clip(state.difference / base, -1, _LARGEST_RATIO - 1)
    of_fleet = (relative * hours).sum(axis=0) / hours.sum(axis=0)
    trust = state.hours / (state.hours + RACE_EVIDENCE_HOURS)
    pooled = trust * relative + (1 - trust) * of_fleet
    variance = np.maximum(state.noise - np.square(state.difference), 0) / np.square(base)
    error = np.sqrt(variance * RACE_CASE_HOURS / np.maximum(hours, RACE_CASE_HOURS))
    advantage = -(pooled + RACE_CAUTION * error) - RACE_MARGIN
    raised = np.asarray(RACE_PRIOR) * np.exp(RACE_ETA * advantage)
    raised[..., 1:][(advantage[..., 1:] <= 0) | (state.hours[..., 1:] == 0)] = 0
    raised[..., 0] = RACE_PRIOR[0]
    return _without_small(raised / raised.sum(axis=-1, keepdims=True))


def _without_small(shares: Floats) -> npt.NDArray[np.float32]:
    """Return the shares with small ones of naive forecasts given to the model."""
    result = np.where(shares < RACE_LEAST_SHARE, 0, shares)
    result[..., 0] = 1 - result[..., 1:].sum(axis=-1)
    return result.astype(np.float32)


def leading(shares: Floats) -> npt.NDArray[np.intp]:
    """Return the candidate with the largest share over the buckets: [n, 14]."""
    return np.asarray(shares.mean(axis=2).argmax(axis=-1))


def context_quantiles(values: Floats) -> npt.NDArray[np.float32]:
    """Return the quantiles [n, M, 7] of `values` [n, steps, M]; NaN where there is no value."""
    return _quantiles(values.transpose(0, 2, 1), 1)


def seasonal_band(values: Floats) -> npt.NDArray[np.float32]:
    """Return the quantiles [n, M, 7] of values minus those of 24 h before, over 48 h.

    `values` [n, HISTORY_STEPS, M] end with the newest step. NaN until there are errors of a day.
    """
    recent = values[:, CONTEXT_STEPS:][:, ::-_THINNED]
    before = values[:, :-CONTEXT_STEPS][:, ::-_THINNED]
    return _quantiles((recent - before).transpose(0, 2, 1), _LEAST_ERRORS // _THINNED)


def last_band(values: Floats) -> npt.NDArray[np.float32]:
    """Return the quantiles [n, M, 3, 7] of values minus those a lead before, by lead bucket.

    `values` as of `seasonal_band`. NaN until there are errors of a day.
    """
    series = values[:, -BAND_STEPS:].transpose(0, 2, 1)
    bands = []
    for leads in _LEADS:
        errors = [(series[..., lead:] - series[..., :-lead])[..., :: len(leads)] for lead in leads]
        bands.append(_quantiles(np.concatenate(errors, axis=-1), _LEAST_ERRORS // len(leads)))
    return np.stack(bands, axis=2)


def _quantiles(series: Floats, least: int) -> npt.NDArray[np.float32]:
    """Return the quantiles [n, M, 7] of series [n, M, t] with at least `least` values; else NaN."""
    ordered = np.sort(series, axis=-1)  # NaN last
    count = np.isfinite(ordered).sum(axis=-1)
    place = np.array(QUANTILES) * np.maximum(count - 1, 0)[..., None]
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, np.maximum(count - 1, 0)[..., None])
    low, high = (np.take_along_axis(ordered, each, axis=-1) for each in (below, above))
    result = low + (high - low) * (place - below)
    result[count < least] = np.nan
    return np.asarray(result, np.float32)
