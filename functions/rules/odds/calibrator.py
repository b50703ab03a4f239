"""Calibrators: monotone curves from raw odds to odds that came true on the fleet's own outcomes.

A calibrator is the mean of an isotonic regression (pool adjacent violators) and a beta curve
(Kull, Silva Filho and Flach, 2017), pulled back to the raw odds where few events were seen.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from functions.rules.defaults import LEAST_EVENTS
from functions.rules.fleet_state import LEAST_ODDS
from functions.rules.odds.exceedance import clipped, logit, sigmoid
from functions.rules.odds.logistic import logistic

__all__ = ["GRID", "Calibrator", "beta_curve", "fit_calibrator", "isotonic"]

Floats = npt.NDArray[np.floating[Any]]

# Log odds at which a calibrator's curve is kept; it is straight between them.
_END: Final = float(logit(np.array(1 - LEAST_ODDS)))
GRID: Final[Floats] = np.linspace(-_END, _END, 57)
_BETA_RIDGE: Final = np.array([0.1, 1.0, 1.0])
_POOLS: Final = 400


@dataclass(frozen=True, slots=True)
class Calibrator:
    """A monotone curve: `log_odds` [57] after calibration at the raw log odds of GRID."""

    log_odds: Floats

    def __call__(self, raw: Floats) -> Floats:
        """Return the calibrated odds of raw odds of any shape, within the least and most odds."""
        return clipped(self.rate(raw))

    def rate(self, raw: Floats) -> Floats:
        """Return the same without a least odds: many of them can be summed."""
        return sigmoid(np.interp(logit(raw), GRID, self.log_odds))


def fit_calibrator(raw: Floats, came: Floats, weight: Floats, events: int) -> Calibrator:
    """Return the calibrator of raw odds [m] of which `came` [m] is 1 or 0.

    `weight` [m] counts cases that stand for others; `events` counts independent breaches: with
    none of them the raw odds stay as they are, with LEAST_EVENTS they go half the way.
    """
    if not events or not len(raw):
        return Calibrator(GRID.copy())
    share = events / (events + LEAST_EVENTS)
    pools = _pooled(logit(clipped(raw)), np.asarray(came, np.float64), weight)
    mean = (isotonic(*pools) + beta_curve(*pools)) / 2
    return Calibrator(np.maximum.accumulate(share * logit(mean) + (1 - share) * GRID))


def isotonic(at: Floats, came: Floats, mass: Floats) -> Floats:
    """Return the isotonic regression at GRID of shares that `came` [k] at log odds `at` [k]: [57].

    `at` ascends; `mass` [k] counts the cases of each.
    """
    blocks: list[tuple[float, float, float]] = []  # place, value and mass of each
    for block in zip(at.tolist(), came.tolist(), mass.tolist(), strict=True):
        blocks.append(block)
        while len(blocks) > 1 and blocks[-2][1] >= blocks[-1][1]:
            blocks.append(_joined(blocks.pop(), blocks.pop()))
    places, values, _ = np.array(blocks).T
    curve: Floats = np.interp(GRID, places, values)
    return curve


def _joined(
    one: tuple[float, float, float], other: tuple[float, float, float]
) -> tuple[float, float, float]:
    mass = one[2] + other[2]
    return (
        (one[0] * one[2] + other[0] * other[2]) / mass,
        (one[1] * one[2] + other[1] * other[2]) / mass,
        mass,
    )


def _pooled(at: Floats, value: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """Return means of `at` and `value`, and the mass, of at most 400 pools in order of `at`."""
    low, high = float(at.min()), float(at.max())
    width = max((high - low) / _POOLS, 1e-9)
    pool = np.minimum(((at - low) / width).astype(int), _POOLS - 1)
    mass = np.bincount(pool, weight, _POOLS)
    used = mass > 0

    def mean(each: Floats) -> Floats:
        means: Floats = np.bincount(pool, weight * each, _POOLS)[used] / mass[used]
        return means

    return mean(at), mean(value), mass[used].astype(np.float64)


def beta_curve(at: Floats, came: Floats, mass: Floats) -> Floats:
    """Return the beta calibration at GRID of shares that `came` [k] at log odds `at` [k]: [57].

    log odds = c + a · log p − b · log(1 − p) with a, b ≥ 0, pulled towards the raw odds.
    """
    coefficients = logistic(_beta_terms(at), came, mass, _BETA_RIDGE, np.array([0.0, 1.0, 1.0]))
    coefficients[1:] = np.maximum(coefficients[1:], 0.0)
    return sigmoid(_beta_terms(GRID) @ coefficients)


def _beta_terms(log_odds: Floats) -> Floats:
    """Return 1, log p and −log(1 − p) of log odds [m]: [m, 3]."""
    return np.stack(
        [np.ones_like(log_odds), -np.logaddexp(0, -log_odds), np.logaddexp(0, log_odds)], axis=-1
    )
