"""Baselines: naive forecasts without training, which a model has to beat."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from storage.model.grid import (
    CONTEXT_STEPS,
    HORIZON_STEPS,
    MIN_CONTEXT_STEPS,
    QUANTILES,
    STEP_MINUTES,
)

__all__ = [
    "CONTEXT_QUANTILES", "HOUR_MEAN", "LAST_VALUE", "SEASONAL", "Array", "Forecasting", "baselines",
]  # fmt: skip

SEASONAL = "seasonal naive"
LAST_VALUE = "last value"
HOUR_MEAN = "mean of the last hour"
CONTEXT_QUANTILES = "context quantiles"

_HOUR = 60 // STEP_MINUTES

Array = NDArray[np.float32]
Forecasting = Callable[[Array, Array, NDArray[np.int64]], Array]
"""(context [n, 288, 14], week_minute [n], profile [n]) to quantiles [n, 96, 14, 7]."""


def baselines() -> Mapping[str, Forecasting]:
    """Forecasts that need no training, in the form of a model's; NaN where one has nothing.

    The value 24 h before; the newest one; the mean of the last hour, of which the newest takes
    the place when nothing was measured in it; and, for the whole horizon, the quantiles that the
    24 h of context have.
    """
    return {
        SEASONAL: lambda context, *_: _point(context[:, :HORIZON_STEPS]),
        LAST_VALUE: lambda context, *_: _level(_newest(context)),
        HOUR_MEAN: lambda context, *_: _level(_hour_mean(context)),
        CONTEXT_QUANTILES: lambda context, *_: _context_quantiles(context),
    }


def _level(values: Array) -> Array:
    """One value [n, 14] for the whole horizon."""
    return _point(values[:, None].repeat(HORIZON_STEPS, 1))


def _point(values: Array) -> Array:
    return np.repeat(values[..., None], len(QUANTILES), -1)


def _newest(context: Array) -> Array:
    """The newest reading of each metric [n, 14]; NaN where there is none."""
    back = (~np.isnan(context[:, ::-1])).argmax(1)  # [n, 14]
    place = (CONTEXT_STEPS - 1 - back)[:, None]
    return np.asarray(np.take_along_axis(context, place, 1)[:, 0])


def _hour_mean(context: Array) -> Array:
    hour = context[:, -_HOUR:]
    known = ~np.isnan(hour)
    mean = np.where(known, hour, 0).sum(1) / np.maximum(known.sum(1), 1)
    return np.where(known.any(1), mean, _newest(context)).astype(np.float32)


def _context_quantiles(context: Array) -> Array:
    enough = (~np.isnan(context)).sum(1) >= MIN_CONTEXT_STEPS  # [n, 14]
    safe = np.where(enough[:, None], context, 0)
    quantiles = np.nanquantile(safe, QUANTILES, axis=1).astype(np.float32)  # [7, n, 14]
    quantiles = np.where(enough, quantiles, np.float32(np.nan)).transpose(1, 2, 0)  # [n, 14, 7]
    return quantiles[:, None].repeat(HORIZON_STEPS, 1)
