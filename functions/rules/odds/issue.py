"""Issue: the odds of a fleet's breaches as of one forecast."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from functions.rules.fleet_state import EARLIEST, JUDGED, LATEST, LIKELY, Bands, judged
from functions.rules.odds.breaches import breaching
from functions.rules.odds.exceedance import (
    LEAD_STEPS,
    Floats,
    clipped,
    odds_within,
    step_odds,
)
from functions.rules.odds.fit import FLEET_MINUTES
from functions.rules.odds.models import OddsModels, ServedOdds
from functions.rules.odds.paths import LEAST_TEMPLATES, path_odds
from functions.rules.odds.trend import drivers, trend_features
from storage.model.grid import HORIZON_STEPS, LEAD_MINUTES, QUANTILES

__all__ = ["SMALL_ODDS", "FleetChance", "IssuedOdds", "issue"]

# Within 8 hours, less than that before calibration needs no paths.
SMALL_ODDS: Final = 0.01
# What is less than that too as it is served is written every 15 minutes only.
_SMALL_SERVED: Final = 0.05
_ROUNDING: Final = 1e-9
SHARES: Final = (EARLIEST, LIKELY, LATEST)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FleetChance:
    """Chance of any breach and breaches expected, within 30 minutes and 8 hours: [2] each.

    `raw` is the sum of the odds, `expected` what the fleet's own outcomes make of it.
    """

    chance: Floats
    raw: Floats
    expected: Floats


@dataclass(frozen=True, slots=True)
class IssuedOdds:
    """Odds of n servers, in the order of JUDGED; NaN where there is no forecast.

    `p`, `raw`, `any_p` and `any_raw` [n, judged, leads]; the last two are NaN without templates.
    `first` [n, judged, 3] are the steps in which 10, 50 and 90 % of the paths are at the level
    (−1: never), `trend` [n, judged] where the trend head serves, `value` [n, judged] the last
    5-minute means, signed.
    """

    p: Floats
    raw: Floats
    any_p: Floats
    any_raw: Floats
    first: npt.NDArray[np.intp]
    trend: Mask
    value: Floats
    features: Floats
    fleet: FleetChance

    @property
    def small(self) -> Mask:
        """Return a mask [n, judged] of the odds that nobody needs to know every 5 minutes."""
        mask: Mask = (self.raw[..., -1] < SMALL_ODDS) & (self.p[..., -1] < _SMALL_SERVED)
        return mask

    def drivers(self, models: OddsModels, bands: Bands, row: int, metric: int) -> list[str]:
        """Return what raises the odds of the trend head, in words, strongest first."""
        if models.trend is None or not self.trend[row, metric]:
            return []
        level = float(bands.critical[row, metric])
        gap = level - float(bands.warn[row, metric])
        return drivers(models.trend, self.features[row, metric], metric, level, gap)


def issue(recent: Floats, quantiles: Floats, bands: Bands, models: OddsModels) -> IssuedOdds:
    """Return the odds of n servers as of the start of their forecasts.

    `recent` [n, T, 14] are the 5-minute means before (T is at least CARRY_STEPS, so that it is
    known whether a breach goes on); `quantiles` [n, 96, 14, 7] as they are served.
    """
    values = judged(recent)
    curve = step_odds(quantiles, bands).swapaxes(1, 2)
    raw = odds_within(curve)
    in_breach = np.stack(
        [breaching(values[..., j], bands.critical[:, j])[:, -1] for j in range(len(JUDGED))], axis=1
    )
    features = _features(values, bands, raw)
    served = models.served(raw, features, in_breach)
    any_raw, first = _paths(curve, raw, models)
    first = np.where(served.trend[..., None], _first_within(served.p), first)
    any_p = np.maximum(models.any_calibrated(any_raw), served.p)
    fleet = _fleet(served, in_breach, models)
    return IssuedOdds(
        served.p, raw, any_p, any_raw, first, served.trend, values[:, -1], features, fleet
    )


def _features(values: Floats, bands: Bands, raw: Floats) -> Floats:
    """Return the features [n, judged, F] at the end of `values`."""
    end = np.array([values.shape[1]])
    gap = np.maximum(bands.critical - bands.warn, 1e-9)
    of_metric = [
        trend_features(values[..., j], bands.critical[:, j], gap[:, j], raw[:, None, j], end)
        for j in range(len(JUDGED))
    ]
    return np.concatenate(of_metric, axis=1)


def _paths(curve: Floats, raw: Floats, models: OddsModels) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Return odds [n, judged, leads] of any single step, and the first steps [n, judged, 3].

    Small odds are those of their highest step. Without templates the first steps are those whose
    odds reach the shares.
    """
    any_raw = np.where(raw[..., -1:] < SMALL_ODDS, raw, np.nan)
    highest = np.maximum.accumulate(curve, axis=-1)
    first = np.stack([_first_at(highest, share) for share in SHARES], axis=-1)
    for j in range(len(JUDGED)):
        templates = models.templates.get(j)
        rows = np.flatnonzero(raw[:, j, -1] >= SMALL_ODDS)
        if templates is None or len(templates) < LEAST_TEMPLATES:
            any_raw[:, j] = np.nan
        elif len(rows):
            paths = path_odds(curve[rows, j], templates, SHARES)
            any_raw[rows, j], first[rows, j] = paths.odds, paths.first
    return any_raw, first


def _first_at(highest: Floats, share: float) -> npt.NDArray[np.intp]:
    reached = highest >= share
    return np.where(reached.any(axis=-1), reached.argmax(axis=-1), -1)


def _first_within(p: Floats) -> npt.NDArray[np.intp]:
    """Return the steps [n, judged, 3] in which odds within the leads [n, judged, leads] reach them.

    Between two leads the odds rise in a straight line.
    """
    steps = np.arange(1, HORIZON_STEPS + 1)
    ends = (0, *LEAD_STEPS)
    upper = np.searchsorted(LEAD_STEPS, steps)
    part = (steps - np.take(ends, upper)) / np.diff(ends)[upper]
    padded = np.concatenate([np.zeros((*p.shape[:-1], 1)), p], axis=-1)
    by_step = padded[..., upper] + (padded[..., upper + 1] - padded[..., upper]) * part
    return np.stack([_first_at(by_step, share) for share in SHARES], axis=-1)


def _fleet(served: ServedOdds, in_breach: Mask, models: OddsModels) -> FleetChance:
    """Return the fleet's chance from what is expected of each metric that is not in a breach.

    Uncalibrated odds beyond the outermost quantile count as nothing: thousands of them are no
    incident. Servers fail together, so that 1 − exp(−expected) is too much or too little: the
    fleet's own outcomes calibrate it.
    """
    leads = [LEAD_MINUTES.index(minutes) for minutes in FLEET_MINUTES]
    rate = np.where(in_breach[..., None], 0.0, served.rate)[..., leads]
    checked = np.array([minutes in models.calibrators for minutes in FLEET_MINUTES])
    counts = served.trend[..., None] | checked | (rate >= 1 - QUANTILES[-1] + _ROUNDING)
    raw = np.nansum(np.where(counts, rate, 0.0), axis=(0, 1))
    expected = raw * [models.fleet_scales.get(minutes, 1.0) for minutes in FLEET_MINUTES]
    chance = 1 - np.exp(-expected)
    for i, minutes in enumerate(FLEET_MINUTES):
        if minutes in models.fleet:
            chance[i] = models.fleet[minutes](chance[i])
    return FleetChance(np.maximum.accumulate(clipped(chance)), raw, expected)
