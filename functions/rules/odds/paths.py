"""Paths: how past forecasts went within their bands, for odds of any single step and for times.

A template has the ranks of what happened within a forecast, one for each of 96 steps. A new
forecast passes its level in a template where the rank is above 1 − P(step at the level). So only
the odds of the steps are needed, and templates of all servers serve one metric (Schaake shuffle).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from functions.rules.fleet_state import LEAST_ODDS
from functions.rules.odds.exceedance import (
    LEAD_STEPS,
    Floats,
    clipped,
    exceedance,
    logit,
    odds_within,
)

__all__ = ["LEAST_TEMPLATES", "TEMPLATES", "PathOdds", "path_odds", "rank_templates"]

TEMPLATES: Final = 200
LEAST_TEMPLATES: Final = 50
_CODES: Final = 255
_FARTHEST: Final = float(logit(np.array(1 - LEAST_ODDS)))

# Log odds of ranks, from the least to the most odds, in 256 steps.
Ranks = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PathOdds:
    """Odds [n, leads] of a single step at the level, and the first steps [n, 3] there.

    The steps are those at which 10, 50 and 90 % of the paths are at the level; −1: fewer ever are.
    """

    odds: Floats
    first: npt.NDArray[np.intp]


def rank_templates(
    quantiles: Floats, actual: Floats, width: Floats, rng: np.random.Generator
) -> Ranks:
    """Return up to 200 templates [k, 96]: the ranks of `actual` within forecasts.

    `quantiles` [m, 96, 7] and `actual` [m, 96] are signed alike; `width` [m] is the gap of warn and
    critical level. A case with a gap makes no template.
    """
    ranks = 1 - exceedance(quantiles, actual, width[:, None])
    whole = np.flatnonzero(~np.isnan(ranks).any(axis=1))
    if len(whole) > TEMPLATES:
        whole = np.sort(rng.choice(whole, TEMPLATES, replace=False))
    return _coded(ranks[whole])


def _coded(ranks: Floats) -> Ranks:
    places = (logit(clipped(ranks)) / _FARTHEST + 1) / 2
    codes: Ranks = np.round(places * _CODES).astype(np.uint8)
    return codes


def path_odds(curve: Floats, templates: Ranks, shares: tuple[float, ...]) -> PathOdds:
    """Return the odds that any step is at the level, from the odds `curve` [n, 96] of the steps.

    They are at least the highest of the steps and at most their sum. `shares` are those of the
    paths that are at the level at the steps that are returned with them.
    """
    limits = _coded(1 - np.nan_to_num(curve))
    reached = np.empty((len(curve), len(LEAD_STEPS)))
    first = np.full((len(curve), len(shares)), -1)
    for i, limit in enumerate(limits):
        steps = _first_steps(templates, limit)
        reached[i] = np.searchsorted(steps, LEAD_STEPS) / len(templates)
        first[i] = [_step_of(steps, share, len(templates)) for share in shares]
    most = np.minimum(np.cumsum(curve, axis=1), 1.0)[:, [steps - 1 for steps in LEAD_STEPS]]
    return PathOdds(np.clip(reached, odds_within(curve), most), first)


def _first_steps(templates: Ranks, limit: Ranks) -> npt.NDArray[np.intp]:
    """Return the first steps at which templates pass the limits [96], sorted; without the rest."""
    passes = templates > limit
    first = passes.argmax(axis=1)
    return np.sort(first[passes[np.arange(len(first)), first]])


def _step_of(steps: npt.NDArray[np.intp], share: float, count: int) -> int:
    place = int(np.ceil(share * count)) - 1
    return int(steps[place]) if place < len(steps) else -1
