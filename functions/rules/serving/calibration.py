"""Online calibration: factors on the widths of the bands, from the scores of past forecasts.

A factor is a sum of logarithms: that of the fleet, the profile's and the server's difference to it.
Both sides of the median share one. Arrays have the axes metric (M, METRIC_NAMES), lead bucket (B)
and band (L, BAND_LEVELS).

    updated(state, counts, profile_of)    the state after one more hour of scores
    preset(state, factors)                the fleet's, set once to the quantile of the ratios seen
    widths(state, profile_of)             the factors for each server and metric
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from functions.rules.defaults import (
    CALIBRATION_STEP,
    CALIBRATION_STEP_FLOOR,
    LARGEST_LOG_FACTOR,
    PRESET_AFTER_HOURS,
    PROFILE_SERVERS,
    SERVER_PULL,
    SERVER_STEP,
)
from storage.model.grid import BAND_LEVELS, BUCKET_MINUTES, QUANTILES
from storage.model.metrics import METRIC_NAMES

__all__ = [
    "SHAPE", "CalibrationState", "HourCounts", "band_ratios", "due_for_preset",
    "factors_of_ratios", "preset", "updated", "widths",
]  # fmt: skip

TICKS = 4  # steps of the update in an hour: one each 15 minutes

# How many hours of scores still judge forecasts that were issued before a change of the factors.
_LATE_HOURS = np.array(BUCKET_MINUTES) // 60
_OUTSIDE = 1 - np.array(BAND_LEVELS) / 100
_MEDIAN = QUANTILES.index(0.5)
SHAPE = len(METRIC_NAMES), len(BUCKET_MINUTES), len(BAND_LEVELS)

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class CalibrationState:
    """Log-factors of a fleet of n servers in p profiles, and the evidence in them."""

    fleet: Floats  # [M, B, L]
    profiles: Floats  # [p, M, B, L] difference to the fleet
    servers: Floats  # [n, M, B, L] difference to the profile
    updates: Ints  # [M, B] 15-minute steps of evidence
    since_preset: Ints  # [M, B] hours of scores since the preset; −1: it is still to come

    @classmethod
    def new(cls, profiles: int, servers: int) -> "CalibrationState":
        """Return the state of a model that was never calibrated."""
        nothing = np.zeros(SHAPE[:2], np.int64)
        return cls(
            np.zeros(SHAPE), np.zeros((profiles, *SHAPE)), np.zeros((servers, *SHAPE)), nothing,
            nothing - 1,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class HourCounts:
    """Targets of one hour that came due, of series that move, by the factors as issued."""

    moving: Floats  # [n, M, B] how many
    inside: Floats  # [n, M, B, L] of these, inside the served band


def updated(state: CalibrationState, counts: HourCounts, profile_of: Ints) -> CalibrationState:
    """Return the state after one more hour of scores.

    `profile_of` [n] is the place of each server's profile. Where no target came due, nothing
    changes. Scores of forecasts from before the preset are left out.
    """
    late = (state.since_preset >= 0) & (state.since_preset < _LATE_HOURS)
    moving = np.where(late, 0, counts.moving)
    known = moving.sum(axis=0) > 0  # [M, B]
    gain = np.where(known, _gain(state.updates), 0)[..., None]
    fleet = _outside(counts.inside.sum(axis=0), moving.sum(axis=0))
    expected, profiles = _profiles(state, counts.inside, moving, profile_of, fleet, gain)
    of_server = _outside(counts.inside, moving)
    servers = _offset(state.servers, of_server - expected[profile_of], gain)
    return CalibrationState(
        _bounded(state.fleet + gain * np.nan_to_num(fleet - _OUTSIDE)),
        profiles,
        servers,
        state.updates + TICKS * known,
        np.where(state.since_preset >= 0, state.since_preset + 1, -1),
    )


def _gain(updates: Ints) -> Floats:
    """Return the sum of the steps of one hour after `updates` of them."""
    ticks = updates[..., None] + np.arange(TICKS)
    steps = CALIBRATION_STEP * (1 + ticks / 24) ** -0.75
    return np.asarray(np.maximum(steps, CALIBRATION_STEP_FLOOR).sum(axis=-1))


def _profiles(
    state: CalibrationState, inside: Floats, moving: Floats, profile_of: Ints, fleet: Floats,
    gain: Floats,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Return the share outside that is expected of each profile's servers, and the offsets.

    A profile of few servers is taken to be as the fleet.
    """
    count = len(state.profiles)
    member = np.arange(count)[:, None] == profile_of  # [p, n]
    with_scores = np.einsum("pn,nmb->pmb", member, moving > 0)
    total = np.einsum("pn,nmb->pmb", member, moving)
    share = _outside(np.einsum("pn,nmbl->pmbl", member, inside), total)
    trust = (with_scores / (with_scores + PROFILE_SERVERS))[..., None]
    difference = np.where(np.isnan(share), 0, trust * (share - fleet))
    return fleet + difference, _offset(state.profiles, difference, gain)


def _offset(offset: Floats, difference: Floats, gain: Floats) -> Floats:
    """Return an offset after an hour: moved by its difference, and pulled to 0."""
    moved = offset + SERVER_STEP * gain * difference - SERVER_PULL * gain * offset
    return _bounded(np.where(np.isnan(difference), offset, moved))


def _outside(inside: Floats, moving: Floats) -> Floats:
    """Return the share outside of each band; NaN where no target came due."""
    known = moving > 0
    share = 1 - inside / np.where(known, moving, 1)[..., None]
    return np.where(known[..., None], share, np.nan)


def _bounded(log_factors: Floats) -> Floats:
    return np.clip(log_factors, -LARGEST_LOG_FACTOR, LARGEST_LOG_FACTOR)


def due_for_preset(state: CalibrationState) -> npt.NDArray[np.bool_]:
    """Return a mask [M, B] of what has scores of a day and was not preset."""
    enough = state.updates >= PRESET_AFTER_HOURS * TICKS
    return np.asarray(enough & (state.since_preset < 0))


def preset(state: CalibrationState, factors: Floats) -> CalibrationState:
    """Return the state with the fleet's factors set to `factors` [M, B, L], where due and known."""
    due = due_for_preset(state)
    known = due[..., None] & np.isfinite(factors) & (factors > 0)
    chosen = np.log(np.where(known, factors, 1))
    return replace(
        state,
        fleet=np.where(known, _bounded(chosen), state.fleet),
        since_preset=np.where(due, 0, state.since_preset),
    )


def band_ratios(raw: Floats, observed: Floats, least: Floats) -> Floats:
    """Return the distances of `observed` [k, t] from the median as shares of the model's own.

    `raw` [k, t, 7] are its quantiles; its distances are at least `least` [k]. The result is
    [k, t, L]; NaN without a forecast or a value.
    """
    distance = observed - raw[..., _MEDIAN]
    ratios = []
    for place in range(1, len(BAND_LEVELS) + 1):
        low, high = (
            np.abs(raw[..., _MEDIAN + side * place] - raw[..., _MEDIAN]) for side in (-1, 1)
        )
        own = np.maximum(np.where(distance < 0, low, high), least[:, None])
        ratios.append(np.abs(distance) / np.where(own > 0, own, np.nan))
    return np.stack(ratios, axis=-1)


def factors_of_ratios(ratios: Floats, metric: Ints, bucket: Ints) -> Floats:
    """Return the factors [M, B, L] with which each band would have had its share of the values.

    `ratios` [k, t, L] are of the metrics `metric` [k] and of steps in buckets `bucket` [t].
    NaN where there are none.
    """
    factors = np.full(SHAPE, np.nan)
    for m, b in np.ndindex(*SHAPE[:2]):
        part = ratios[metric == m][:, bucket == b].reshape(-1, len(BAND_LEVELS))
        for place, level in enumerate(BAND_LEVELS):
            known = part[np.isfinite(part[:, place]), place]
            if known.size:
                factors[m, b, place] = np.quantile(known, level / 100)
    return factors


def widths(state: CalibrationState, profile_of: Ints) -> npt.NDArray[np.float32]:
    """Return the factors on the distances from the median: [n, M, B, L]."""
    total = state.fleet + state.profiles[profile_of] + state.servers
    return np.asarray(np.exp(_bounded(total)), np.float32)
