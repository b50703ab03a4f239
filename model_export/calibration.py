"""Calibration: factors on a forecast's quantile gaps, so that its bands reach their coverage.

Split conformal prediction in units of the forecast's gaps, after Romano et al. (2019),
"Conformalized quantile regression". For each target, compute the factor by which a gap must be
scaled for the band to reach it; the gap's factor is the quantile of these at the nominal coverage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from functions.rules.evaluation.scoring import Array, ScoredWindows, comparable
from model_export.network import PAIRS, ForecastNetwork
from model_export.parity_check import torch_forecast
from model_export.scaling import BIN_STEPS, HORIZON_BINS
from storage.model.grid import HORIZON_STEPS, QUANTILES
from storage.model.metrics import GROUPS, METRIC_NAMES

__all__ = ["CalibrationLimits", "calibrate"]

_MIDDLE = PAIRS  # index of the median
_LEADS = (0, 12, 36, HORIZON_STEPS)  # separate factors for hour 1, hours 2 and 3, and the rest
_SMALLEST_GAP = 1e-9  # a constant series may have gaps of 0

Factors = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CalibrationLimits:
    """How far factors may move, and how many windows of evidence it takes to move them."""

    narrowest: float = 0.6
    widest: float = 1.7
    largest_step: float = 3.0  # of one correction: few windows may ask for far more
    common_windows: float = 400.0  # weight of the common factors against those of a part
    prior_windows: float = 15.0  # weight of the factors before fine-tuning, which narrows bands


LIMITS = CalibrationLimits()


def calibrate(
    network: ForecastNetwork,
    sets: Sequence[ScoredWindows],
    named: Sequence[ScoredWindows] | None = None,
    prior: ForecastNetwork | None = None,
    limits: CalibrationLimits = LIMITS,
) -> Factors:
    """Set the factors on the gaps between quantiles of `network` and return them [32, 14, 6].

    From the inside out, each pair of gaps gets the factor with which its band (50, 80, 96 %)
    reaches its coverage; series have equal weight, and so have the `sets`. First come factors for
    all metrics and leads, then corrections for spans of leads and for groups of metrics. Groups
    are fitted to the `named` sets only (default: all), where metrics have their true names. The
    fewer windows there are, the closer a correction stays to the common factors, and these to the
    factors of `prior`.

    The windows must not overlap the training days, nor the windows that score the model.
    """
    network.widen(torch.ones(1))
    evidence = [_Evidence(network, windows) for windows in sets]
    with_names = [e for e in evidence if named is None or any(e.windows is n for n in named)]
    factors = np.ones((HORIZON_BINS, len(METRIC_NAMES), 2 * PAIRS))
    if prior is not None:
        factors *= prior.fusion.widening.numpy()  # type: ignore[operator]  # a buffer
    fit = _Fit(factors, limits)
    metrics = list(range(len(METRIC_NAMES)))
    fit.correct(
        evidence, metrics, (0, HORIZON_STEPS), 0.0 if prior is None else limits.prior_windows
    )
    for span in pairwise(_LEADS):
        fit.correct(evidence, metrics, span, limits.common_windows)
    for group in GROUPS.values():
        indices = [METRIC_NAMES.index(metric) for metric in group]
        fit.correct(with_names, indices, (0, HORIZON_STEPS), limits.common_windows)
    network.widen(torch.from_numpy(factors.astype(np.float32)))
    return factors


class _Evidence:
    """The uncalibrated forecasts of one set of windows, their errors, and the targets' weights."""

    def __init__(self, network: ForecastNetwork, windows: ScoredWindows) -> None:
        inputs = (windows.context, windows.week_minute, windows.profile)
        forecast = torch_forecast(network)(*inputs)  # [n, 96, 14, 7]
        self.windows = windows
        self.gaps = np.diff(forecast, axis=-1)  # [n, 96, 14, 6]
        self.error: Array = windows.target - forecast[..., _MIDDLE]  # [n, 96, 14]
        known = comparable(windows, forecast)
        self.weight = known / np.maximum(self._targets_of_series(known), 1)

    def _targets_of_series(self, known: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return how many known targets the series of each window has, [n, 1, 14]."""
        counts = known.sum(1).reshape(-1, self.windows.origins, len(METRIC_NAMES)).sum(1)
        return np.asarray(counts.repeat(self.windows.origins, 0)[:, None])

    def scales(
        self, factors: Factors, pair: int, metrics: list[int], span: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """Return by what the gaps of `pair` must be scaled for their band to just reach a target.

        One scale per known target of `metrics` in the steps of `span`, with its weight, and the
        number of windows that have any.
        """
        steps = slice(*span)
        scaled = factors.repeat(BIN_STEPS, 0)[steps, metrics] * self.gaps[:, steps, metrics]
        error, weight = self.error[:, steps, metrics], self.weight[:, steps, metrics]
        above = error > 0
        inner = np.zeros_like(error)
        for i in range(pair):
            inner += np.where(above, scaled[..., PAIRS + i], scaled[..., PAIRS - 1 - i])
        gap = np.where(above, scaled[..., PAIRS + pair], scaled[..., PAIRS - 1 - pair])
        scale = (np.abs(error) - inner) / np.maximum(gap, _SMALLEST_GAP)
        known = weight > 0
        return scale[known], weight[known], int(known.reshape(len(known), -1).any(1).sum())


@dataclass(frozen=True, slots=True)
class _Fit:
    """Factors [32, 14, 6] that are corrected in place, within limits."""

    factors: Factors
    limits: CalibrationLimits

    def correct(
        self,
        evidence: Sequence[_Evidence],
        metrics: list[int],
        span: tuple[int, int],
        shrinkage: float,
    ) -> None:
        """Correct the factors of some metrics and steps, pair by pair from the inside out.

        `shrinkage` is the number of windows at which half of a correction is made.
        """
        for pair in range(PAIRS):
            scales = [e.scales(self.factors, pair, metrics, span) for e in evidence]
            scales = [part for part in scales if len(part[0])]
            if not scales:
                return
            weights = np.concatenate([weight / weight.sum() for _, weight, _ in scales])
            values = np.concatenate([scale for scale, _, _ in scales])
            coverage = QUANTILES[_MIDDLE + pair + 1] - QUANTILES[_MIDDLE - pair - 1]
            largest = self.limits.largest_step
            step = np.clip(_weighted_quantile(values, weights, coverage), 1 / largest, largest)
            windows = sum(count for _, _, count in scales)
            self._multiply(pair, metrics, span, step ** (windows / (windows + shrinkage)))

    def _multiply(self, pair: int, metrics: list[int], span: tuple[int, int], step: float) -> None:
        bins = slice(span[0] // BIN_STEPS, span[1] // BIN_STEPS)
        for gap in (PAIRS + pair, PAIRS - 1 - pair):
            factors = self.factors[bins, metrics, gap] * step
            self.factors[bins, metrics, gap] = np.clip(
                factors, self.limits.narrowest, self.limits.widest
            )


def _weighted_quantile(
    values: NDArray[np.float64], weights: NDArray[np.float64], level: float
) -> float:
    order = np.argsort(values)
    shares = np.cumsum(weights[order])
    index = int(np.searchsorted(shares, level * shares[-1]))
    return float(values[order[min(index, len(order) - 1)]])
