"""Widen or narrow a trained forecaster's bands until they hold what they promise on later days."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model_export.network import PAIRS, Forecaster
from model_export.verify import unexported
from storage.grid import QUANTILES
from storage.scoring import Array, Windows, covered

__all__ = ["calibrate"]

_MIDDLE = PAIRS  # the median's place
_HALVINGS = 12  # of [0.5, 2]: to within 0.0004
_NARROWEST, _WIDEST = 0.5, 2.0


def calibrate(network: Forecaster, sets: Sequence[Windows]) -> tuple[float, ...]:
    """Set the factors on the gaps between quantiles, and return them, from the middle outwards.

    From the inside out, each pair of gaps gets the factor with which the band that it closes
    (50, 80, 96 %) holds its share of targets: the mean over series, then over `sets`. These must
    be days that were not trained on, and not the ones by which the model will be judged.
    """
    network.widen(torch.ones(1))
    ask = unexported(network)
    forecasts = [ask(part.context, part.week_minute, part.profile) for part in sets]
    factors: list[float] = []
    for _pair in range(PAIRS):
        low, high = _NARROWEST, _WIDEST
        for _ in range(_HALVINGS):
            middle = (low * high) ** 0.5
            if _excess(forecasts, sets, [*factors, middle]) < 0:
                low = middle
            else:
                high = middle
        factors.append(low)
    network.widen(torch.tensor([*reversed(factors), *factors]))
    return tuple(factors)


def _excess(forecasts: Sequence[Array], sets: Sequence[Windows], factors: Sequence[float]) -> float:
    """How much more than it promises the band of the outermost of `factors` holds."""
    out = len(factors)
    low, high = _MIDDLE - out, _MIDDLE + out
    shares = []
    for forecast, windows in zip(forecasts, sets, strict=True):
        stretched = forecast.copy()
        stretched[..., low] = forecast[..., _MIDDLE] - _reach(forecast, factors, -1)
        stretched[..., high] = forecast[..., _MIDDLE] + _reach(forecast, factors, 1)
        shares.append(np.nanmean(covered(stretched, windows, low, high)))
    return float(np.mean(shares)) - (QUANTILES[high] - QUANTILES[low])


def _reach(forecast: Array, factors: Sequence[float], side: int) -> NDArray[np.float32]:
    """Distance from the median after widening, [n, 96, 14]."""
    gaps = [
        np.abs(forecast[..., _MIDDLE + side * (i + 1)] - forecast[..., _MIDDLE + side * i]) * factor
        for i, factor in enumerate(factors)
    ]
    return np.asarray(sum(gaps), np.float32)
