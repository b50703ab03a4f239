"""Cases: odds as they were issued, with their features and what came of them."""

from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from functions.rules.fleet_state import JUDGED, NAMES
from functions.rules.odds.breaches import ANY_SAMPLE, breaches, breaching, outcomes
from functions.rules.odds.exceedance import LEAD_STEPS, Floats
from functions.rules.odds.trend import trend_features
from storage.model.grid import HORIZON_STEPS

__all__ = ["Cases", "Issued", "cases_of"]

# Odds within 8 hours from which on a case that did not breach is as telling as one that did.
_MIGHT_BREACH: Final = 0.05

Ints = npt.NDArray[np.integer[Any]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Issued:
    """Odds as issued at the steps `origins` [m] of a history: raw [n, m, judged, leads].

    `any_raw` are those of any single step. NaN where none were issued. `weight` [n, m, judged]
    counts cases that stand for others.
    """

    origins: Ints
    raw: Floats
    any_raw: Floats
    weight: Floats


@dataclass(frozen=True, slots=True)
class Cases:
    """m cases: raw odds, features, and what came of them within each lead (1, 0, NaN: unknown).

    `metric` is an index of the judged metrics, `origin` the step of issue, and `block` numbers the
    8 hours of one server. `begun` is True where a breach begins within the next 8 hours.
    """

    raw: Floats  # [m, leads]
    any_raw: Floats  # [m, leads]
    features: Floats  # [m, F]
    came: Floats  # [m, leads]
    any_came: Floats  # [m, leads]
    metric: Ints
    origin: Ints
    block: Ints
    weight: Floats
    first: Ints  # id of the breach that begins next within 8 hours; −1: none

    def __len__(self) -> int:
        return len(self.metric)

    def only(self, mask: Mask) -> "Cases":
        """Return the cases of a mask [m]."""
        return Cases(**{field.name: getattr(self, field.name)[mask] for field in fields(self)})

    @property
    def events(self) -> int:
        """Return the number of breaches that these cases could have foretold."""
        return self.events_in(np.ones(len(self), bool))

    def events_in(self, mask: Mask) -> int:
        """Return the same of the cases of a mask [m]."""
        return len(np.unique(self.first[mask & (self.first >= 0)]))

    def thinned(self, most: int) -> "Cases":
        """Return about `most` cases at most: all that breached or might have, and some others.

        Each of the others stands for those that are left out.
        """
        telling = (self.first >= 0) | (self.raw[:, -1] >= _MIGHT_BREACH)
        others = np.flatnonzero(~telling)
        every = max(-(-len(others) // max(most - int(telling.sum()), most // 2)), 1)
        weight = np.where(telling, self.weight, self.weight * every)
        kept = telling.copy()
        kept[others[::every]] = True
        return replace(self, weight=weight).only(kept)


def cases_of(values: Floats, critical: Floats, warn: Floats, issued: Issued) -> Cases:
    """Return the cases of odds that were issued on a history [n, T, judged], signed.

    `critical` and `warn` are the levels [n, judged]. Odds issued in a breach, or within two hours
    of one, are no case: then none can begin.
    """
    parts = [
        _of_metric(values[:, :, j], critical[:, j], warn[:, j], issued, j)
        for j in range(len(JUDGED))
    ]
    return Cases(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Cases)
        }
    )


def _of_metric(
    values: Floats, critical: Floats, warn: Floats, issued: Issued, metric: int
) -> Cases:
    origins, raw = issued.origins, issued.raw[:, :, metric]
    n, m = len(values), len(origins)
    gap = np.maximum(critical - warn, 1e-9)
    features = trend_features(values, critical, gap, raw, origins)
    came = outcomes(values, critical, origins, LEAD_STEPS)
    any_came = outcomes(values, critical, origins, LEAD_STEPS, ANY_SAMPLE)
    usable = ~breaching(values, critical)[:, origins] & ~np.isnan(features).any(axis=-1)
    usable &= ~np.isnan(came).all(axis=-1)
    rows = np.broadcast_to(np.arange(n)[:, None], (n, m))
    steps = np.broadcast_to(origins, (n, m))
    blocks = rows * (values.shape[1] // HORIZON_STEPS + 1) + steps // HORIZON_STEPS
    first = _next_breach(values, critical, origins)
    return Cases(
        raw[usable], issued.any_raw[:, :, metric][usable], features[usable], came[usable],
        any_came[usable], np.full(int(usable.sum()), metric), steps[usable], blocks[usable],
        issued.weight[:, :, metric][usable],
        np.where(first < 0, -1, first * len(NAMES) + metric)[usable],
    )  # fmt: skip


def _next_breach(values: Floats, critical: Floats, origins: Ints) -> Ints:
    """Return the number of the breach that begins within 8 hours of each origin: [n, m], or −1."""
    result = np.full((len(values), len(origins)), -1)
    for number, each in enumerate(breaches(values, critical)):
        ahead = each.start - origins
        mask = (ahead >= 0) & (ahead < HORIZON_STEPS) & (result[each.row] < 0)
        result[each.row, mask] = number
    return result
