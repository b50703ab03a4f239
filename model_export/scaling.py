"""Scaling: centre, spread and quantiles of a window, and its readings as gap-free 15-minute bins.

A window is scaled by its own statistics alone, so the model does not depend on a fleet's units.
All operations exist in ONNX with fixed shapes, so training and serving run the same graph.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from storage.model.grid import (
    CONTEXT_STEPS,
    HORIZON_STEPS,
    MIN_CONTEXT_STEPS,
    QUANTILES,
    STEP_MINUTES,
)
from storage.model.metrics import METRICS

__all__ = [
    "BIN_STEPS",
    "CONTEXT_BINS",
    "HORIZON_BINS",
    "SPREAD_FLOOR",
    "Scaled",
    "carry_forward",
    "expansion",
    "has_enough_context",
    "ranked",
    "scale",
    "slopes",
    "squash",
]

BIN_STEPS = 3  # 15 minutes: loss .82-.86 of naive; 5-minute steps gave .95-.99 at equal compute
CONTEXT_BINS = CONTEXT_STEPS // BIN_STEPS
HORIZON_BINS = HORIZON_STEPS // BIN_STEPS
SPREAD_FLOOR = 1e-3  # times (|centre| + 1e-3): a flat window must not divide by zero

_STEPS_PER_DAY = 24 * 60 // STEP_MINUTES
_SORTS_LAST = 3e38  # above every reading, and still a finite float32


class Scaled(NamedTuple):
    """A window in units of its own spread. B servers, 14 metrics, 96 bins, 7 quantiles."""

    centre: Tensor  # [B, 14] median of the observed steps, raw units
    spread: Tensor  # [B, 14] mean absolute deviation from it, floored, raw units
    observed: Tensor  # [B, 14] how many steps were observed
    quantiles: Tensor  # [B, 14, 7] of the observed steps
    last: Tensor  # [B, 14] newest observed step
    bins: Tensor  # [B, 14, 96] means over 15 minutes, carried over gaps
    seen: Tensor  # [B, 14, 96] observed share of each bin


def slopes() -> Tensor:
    """Return what one step adds to each metric by definition [14]: 1/288 day of uptime, else 0."""
    counts_days = [m.kind == "counter" and m.unit == "days" for m in METRICS]
    return torch.tensor(counts_days, dtype=torch.float32) / _STEPS_PER_DAY  # [14]


def ranked(context: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sort each metric's readings of `context` [n, 288, 14] in ascending order, [n, 14, 288].

    NaN comes last; what uptime grows by definition is subtracted first.
    """
    age = np.arange(1 - CONTEXT_STEPS, 1, dtype=np.float32)[:, None]
    levels = context - age * slopes().numpy()
    return np.sort(levels.transpose(0, 2, 1), axis=-1)


def expansion() -> Tensor:
    """Return the matrix [96, 32] from bin means to 5-minute steps, linear between bin centres."""
    position = (torch.arange(HORIZON_STEPS, dtype=torch.float32) - 1) / BIN_STEPS
    position = position.clamp(0, HORIZON_BINS - 1)
    bins = torch.arange(HORIZON_BINS, dtype=torch.float32)
    return (1 - (position[:, None] - bins).abs()).clamp(min=0)  # [96, 32]


def scale(context: Tensor, ranked: Tensor | None = None) -> Scaled:
    """Return centre, spread, quantiles and bins of `context` [B, 288, 14]; NaN is missing.

    `ranked` [B, 14, 288] are the same readings in ascending order, missing ones last. Without it
    they are sorted here.
    """
    steps = context.transpose(1, 2)  # [B, 14, 288]
    present = ~torch.isnan(steps)
    observed = present.to(steps.dtype).sum(-1)  # [B, 14]
    if ranked is None:
        ranked = torch.where(present, steps, torch.full_like(steps, _SORTS_LAST)).sort(-1).values
    levels = _quantiles(ranked, observed)  # [B, 14, 7]
    centre = levels[..., len(QUANTILES) // 2]  # [B, 14]
    deviation = torch.where(present, steps - centre[..., None], torch.zeros_like(steps))
    spread = deviation.abs().sum(-1) / observed.clamp(min=1)  # [B, 14]
    spread = torch.maximum(spread, SPREAD_FLOOR * (centre.abs() + SPREAD_FLOOR))
    scaled = deviation / spread[..., None]  # [B, 14, 288], 0 where missing
    last = _newest(scaled, present)
    bins, seen = _binned(scaled, present.to(steps.dtype))
    quantiles = (levels - centre[..., None]) / spread[..., None]  # [B, 14, 7]
    return Scaled(centre, spread, observed, quantiles, last, bins, seen)


def squash(values: Tensor) -> Tensor:
    """Return the signed logarithm of `values`, so that a spike does not dominate the inputs."""
    return values.sign() * values.abs().log1p()


def carry_forward(values: Tensor, present: Tensor) -> Tensor:
    """Fill gaps in the last axis of `values` with the newest earlier entry, else with 0.

    `present` has the shape of `values`, 1 where an entry is observed and 0 where it is missing.
    Each round doubles the distance, so 96 bins need 7 rounds and no loop over time.
    """
    filled, known = values * present, present
    reach = 1
    while reach < values.shape[-1]:
        before = torch.nn.functional.pad(filled, (reach, 0))[..., : values.shape[-1]]
        known_before = torch.nn.functional.pad(known, (reach, 0))[..., : values.shape[-1]]
        filled = torch.where(known > 0, filled, before)
        known = torch.maximum(known, known_before)
        reach *= 2
    return filled


def _quantiles(ranked: Tensor, observed: Tensor) -> Tensor:
    """Interpolate QUANTILES of the first `observed` [B, 14] entries of `ranked` [B, 14, 288]."""
    levels = torch.tensor(QUANTILES, dtype=ranked.dtype, device=ranked.device)
    position = levels * (observed - 1).clamp(min=0)[..., None]  # [B, 14, 7]
    below = position.floor()
    above = torch.minimum(below + 1, (observed - 1).clamp(min=0)[..., None])
    low = ranked.gather(-1, below.long())  # [B, 14, 7]
    high = ranked.gather(-1, above.long())
    values = low + (high - low) * (position - below)
    return torch.where(observed[..., None] > 0, values, torch.zeros_like(values))


def _newest(scaled: Tensor, present: Tensor) -> Tensor:
    """Return the newest observed value [B, 14] of `scaled` [B, 14, 288], 0 where there is none."""
    order = torch.arange(CONTEXT_STEPS, dtype=scaled.dtype, device=scaled.device)
    newest = (present.to(scaled.dtype) * order).amax(-1, keepdim=True)  # [B, 14, 1]
    return scaled.gather(-1, newest.long()).squeeze(-1)


def _binned(scaled: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Return bin means carried over gaps, and each bin's observed share, both [B, 14, 96]."""
    shape = (-1, len(METRICS), CONTEXT_BINS, BIN_STEPS)
    counts = present.reshape(shape).sum(-1)  # [B, 14, 96]
    means = scaled.reshape(shape).sum(-1) / counts.clamp(min=1)
    return carry_forward(means, (counts > 0).to(means.dtype)), counts / BIN_STEPS


def has_enough_context(observed: Tensor) -> Tensor:
    """Return where the count of `observed` steps is enough for a forecast, in the same shape."""
    return observed >= MIN_CONTEXT_STEPS
