"""Reliability: whether odds come true as often as they say, with a band from independent blocks.

Odds that are issued every 5 minutes are one judgement per server and 8 hours, not 96: so the band
of a share is that of its blocks (server × 8 h), never that of its rows.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["BIN_EDGES", "Reliability", "brier", "reliability"]

Floats = npt.NDArray[np.floating[Any]]

BIN_EDGES: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
_Z95: Final = 1.96


@dataclass(frozen=True, slots=True)
class Reliability:
    """Of each of 8 bins: mean odds said, share that came with its 95 % bounds, and blocks.

    NaN where a bin is empty. `ece` is the mean distance of said and came, by cases.
    """

    said: Floats
    came: Floats
    came_low: Floats
    came_high: Floats
    bin_blocks: Floats
    brier: float
    base_rate: float
    ece: float

    @property
    def skill(self) -> float:
        """Return the Brier skill score against the base rate; NaN where nothing or all came."""
        reference = self.base_rate * (1 - self.base_rate)
        return 1 - self.brier / reference if reference else float("nan")


def brier(odds: Floats, came: Floats, weight: Floats) -> float:
    """Return the mean squared distance of odds [m] and what came [m]; NaN without a case."""
    total = float(np.sum(weight))
    return float(weight @ (odds - came) ** 2) / total if total else float("nan")


def reliability(
    odds: Floats, came: Floats, weight: Floats, block: npt.NDArray[np.integer[Any]]
) -> Reliability:
    """Return the reliability of odds [m]; `came` [m] is 1 or 0, `block` [m] numbers the blocks."""
    count = len(BIN_EDGES) - 1
    bins = np.clip(np.searchsorted(BIN_EDGES, odds, side="right") - 1, 0, count - 1)
    mass = np.bincount(bins, weight, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        said = np.bincount(bins, weight * odds, count) / mass
        share = np.bincount(bins, weight * came, count) / mass
        error, blocks = _block_errors(bins, weight * (came - share[bins]), block, count)
        error /= mass
    total = max(float(mass.sum()), 1e-12)
    return Reliability(
        said, share, np.clip(share - _Z95 * error, 0, 1), np.clip(share + _Z95 * error, 0, 1),
        blocks, brier(odds, came, weight), float(weight @ came) / total,
        float(np.nansum(mass * np.abs(said - share))) / total,
    )  # fmt: skip


def _block_errors(
    bins: npt.NDArray[np.integer[Any]],
    residual: Floats,
    block: npt.NDArray[np.integer[Any]],
    count: int,
) -> tuple[Floats, Floats]:
    """Return the root of the sum over blocks of squared residuals, and the blocks, of each bin."""
    pairs, place = np.unique(np.stack([bins, block]), axis=1, return_inverse=True)
    sums = np.bincount(place.ravel(), residual, pairs.shape[1])
    squares = np.bincount(pairs[0], sums**2, count)
    return np.sqrt(squares), np.bincount(pairs[0], minlength=count).astype(float)
