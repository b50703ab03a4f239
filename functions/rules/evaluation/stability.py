"""Stability: how far two forecasts of the same targets, some steps apart, differ."""

import numpy as np
from numpy.typing import NDArray

from storage.model.grid import QUANTILES

__all__ = ["SHIFT_STEPS", "mean_jump"]

SHIFT_STEPS = 3  # 15 minutes
_MEDIAN = QUANTILES.index(0.5)
_LOW, _HIGH = QUANTILES.index(0.1), QUANTILES.index(0.9)


def mean_jump(earlier: NDArray[np.float32], later: NDArray[np.float32], steps: int) -> float:
    """Return the mean move of the median in widths of the 80 % band, the median over series.

    Both are forecasts [n, 96, 14, 7], `later` issued `steps` steps after `earlier`. A series whose
    band has no width does not count; NaN when none has one.
    """
    move = np.abs(later[:, :-steps, :, _MEDIAN] - earlier[:, steps:, :, _MEDIAN])
    width = later[:, :-steps, :, _HIGH] - later[:, :-steps, :, _LOW]
    known = np.isfinite(move) & np.isfinite(width)
    moves, widths = (np.where(known, part, 0).sum(1, dtype=np.float64) for part in (move, width))
    has_width = widths > 0  # [n, 14]
    if not has_width.any():
        return float("nan")
    return float(np.median(moves[has_width] / widths[has_width]))
