"""Widen or narrow a trained forecaster's bands until they hold what they promise on later days.

Split conformal prediction in units of the forecast's own gaps (after Romano et al., 2019,
"Conformalized quantile regression"): how far a gap must be stretched for its band to reach a
target is that target's need, and the factor is the need that the promised share of targets has.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from functions.rules.evaluation.scoring import Array, ScoredWindows, comparable
from model_export.network import PAIRS, ForecastNetwork
from model_export.parity_check import unexported
from model_export.scaling import BIN_STEPS, HORIZON_BINS
from storage.model.grid import HORIZON_STEPS, QUANTILES
from storage.model.metrics import GROUPS, METRIC_NAMES

__all__ = ["calibrate"]

_MIDDLE = PAIRS  # the median's place
_NARROWEST, _WIDEST = 0.6, 1.7
_LEADS = (0, 12, 36, HORIZON_STEPS)  # the first hour, the next two, and the rest have their own
_BELIEVED = 400.0  # windows of evidence that what is common counts for
_PRIOR = 15.0  # and what was found before a fine-tuning, which makes bands too narrow
_FARTHEST = 3.0  # times: what a few windows that never move ask for is not believed
_NOTHING = 1e-9  # a gap of a still series

Factors = NDArray[np.float64]


def calibrate(
    network: ForecastNetwork,
    sets: Sequence[ScoredWindows],
    named: Sequence[ScoredWindows] | None = None,
    prior: ForecastNetwork | None = None,
) -> Factors:
    """Set the factors on the gaps between quantiles, and return them [32, 14, 6].

    From the inside out, each pair of gaps gets the factor with which the band that it closes
    (50, 80, 96 %) holds its share of targets; each series counts alike, then each of `sets`. Leads
    have factors of their own, and so have groups of metrics as far as the `named` sets tell (all,
    when none are given); these are drawn towards the common ones, and all towards those of `prior`,
    the more the fewer windows there are. The windows must be of days that were not trained on, and
    not those by which the model is judged.
    """
    network.widen(torch.ones(1))
    evidence = [_Evidence(network, windows) for windows in sets]
    known = [e for e in evidence if named is None or any(e.windows is n for n in named)]
    factors = np.ones((HORIZON_BINS, len(METRIC_NAMES), 2 * PAIRS))
    if prior is not None:
        factors *= prior.fusion.widening.numpy()  # type: ignore[operator]  # a buffer
    every = list(range(len(METRIC_NAMES)))
    _fit(factors, evidence, every, (0, HORIZON_STEPS), 0.0 if prior is None else _PRIOR)
    for span in pairwise(_LEADS):
        _fit(factors, evidence, every, span, _BELIEVED)
    for group in GROUPS.values():
        places = [METRIC_NAMES.index(metric) for metric in group]
        _fit(factors, known, places, (0, HORIZON_STEPS), _BELIEVED)
    network.widen(torch.from_numpy(factors.astype(np.float32)))
    return factors


class _Evidence:
    """What a network that was not widened says to some windows, and how far off it was."""

    def __init__(self, network: ForecastNetwork, windows: ScoredWindows) -> None:
        asked = (windows.context, windows.week_minute, windows.profile)
        forecast = unexported(network)(*asked)  # [n, 96, 14, 7]
        self.windows = windows
        self.gaps = np.diff(forecast, axis=-1)  # [n, 96, 14, 6]
        self.off: Array = windows.target - forecast[..., _MIDDLE]  # [n, 96, 14]
        known = comparable(windows, forecast)
        self.weight = known / np.maximum(self._of_series(known), 1)

    def _of_series(self, known: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many targets of its series each one is among, [n, 1, 14]."""
        counts = known.sum(1).reshape(-1, self.windows.origins, len(METRIC_NAMES)).sum(1)
        return np.asarray(counts.repeat(self.windows.origins, 0)[:, None])

    def needs(
        self, factors: Factors, pair: int, places: list[int], span: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """By what the factors of a pair must be multiplied for each target, weights, windows."""
        steps = slice(*span)
        stretched = factors.repeat(BIN_STEPS, 0)[steps, places] * self.gaps[:, steps, places]
        off, weight = self.off[:, steps, places], self.weight[:, steps, places]
        above = off > 0
        inner = np.zeros_like(off)
        for i in range(pair):
            inner += np.where(above, stretched[..., PAIRS + i], stretched[..., PAIRS - 1 - i])
        own = np.where(above, stretched[..., PAIRS + pair], stretched[..., PAIRS - 1 - pair])
        need = (np.abs(off) - inner) / np.maximum(own, _NOTHING)
        told = weight > 0
        return need[told], weight[told], int(told.reshape(len(told), -1).any(1).sum())


def _fit(
    factors: Factors,
    evidence: Sequence[_Evidence],
    places: list[int],
    span: tuple[int, int],
    believed: float,
) -> None:
    """Correct the factors of some metrics and leads, pair by pair from the inside out."""
    bins = slice(span[0] // BIN_STEPS, span[1] // BIN_STEPS)
    for pair in range(PAIRS):
        found = [e.needs(factors, pair, places, span) for e in evidence]
        found = [part for part in found if len(part[0])]
        if not found:
            return
        weights = np.concatenate([weight / weight.sum() for _, weight, _ in found])
        needs = np.concatenate([need for need, _, _ in found])
        promised = QUANTILES[_MIDDLE + pair + 1] - QUANTILES[_MIDDLE - pair - 1]
        need = np.clip(_weighted_quantile(needs, weights, promised), 1 / _FARTHEST, _FARTHEST)
        windows = sum(count for _, _, count in found)
        step = need ** (windows / (windows + believed))
        for side in (PAIRS + pair, PAIRS - 1 - pair):
            cells = factors[bins, places, side]
            factors[bins, places, side] = np.clip(cells * step, _NARROWEST, _WIDEST)


def _weighted_quantile(
    values: NDArray[np.float64], weights: NDArray[np.float64], level: float
) -> float:
    order = np.argsort(values)
    shares = np.cumsum(weights[order])
    place = int(np.searchsorted(shares, level * shares[-1]))
    return float(values[order[min(place, len(order) - 1)]])
