"""Window baselines: forecasts from a window alone (its quantiles, the day before, its last value).

The fusion network blends them; the transformer and the metric network only correct the blend.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from model_export.scaling import CONTEXT_BINS, HORIZON_BINS, Scaled, squash
from storage.model.grid import QUANTILES

__all__ = [
    "BETWEEN_LAGS",
    "GATES",
    "SMOOTHING",
    "STEP_WIDTHS",
    "YESTERDAY_WIDTH",
    "WindowBaselines",
    "mean_moves",
    "window_baselines",
]

GATES = 3  # context quantiles, yesterday at the same time, last value
_SMOOTH_BINS = 2  # to either side: yesterday is a mean over 75 minutes
YESTERDAY_WIDTH = 0.7  # of the width of the context's quantiles; training corrects it
_NORMAL_STEPS = (1.4, 1.1, 1.23, 1.23, 1.1, 1.4)  # gaps of normal quantiles in mean deviations


@dataclass(frozen=True, slots=True)
class WindowBaselines:
    """Median and widths of each baseline, in units of the window's spread."""

    LAGS: ClassVar[tuple[int, ...]] = (1, 2, 4, 8, 16, 31)  # bins; 31 is the last lead
    FEATURES: ClassVar[int] = 5

    medians: Tensor  # [B, 32, 14, GATES]
    own_gaps: Tensor  # [B, 1, 14, 6] between neighbouring quantiles of the context
    lead_moves: Tensor  # [B, 32, 14, 1] mean absolute change from now to each lead
    yesterday: Tensor  # [B, 32, 14] smoothed, at the same time of day
    mean_moves: Tensor  # [B, 14, 6] mean absolute change over each of LAGS
    features: Tensor  # [B, 32, 14, FEATURES] further inputs of the fusion network

    def blend(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the baselines by `gates` [B, 32, 14, GATES].

        Return the median [B, 32, 14, 1] and the gaps between quantiles [B, 32, 14, 6].
        """
        median = (gates * self.medians).sum(-1, keepdim=True)
        context, yesterday, last = (gates[..., i : i + 1] for i in range(GATES))  # [B, 32, 14, 1]
        widths = (context + YESTERDAY_WIDTH * yesterday) * self.own_gaps
        return median, widths + (last * self.lead_moves) * STEP_WIDTHS.to(last.device)


def window_baselines(window: Scaled) -> WindowBaselines:
    """Return the baselines of `window` for each of the 32 bins ahead."""
    exact = window.bins[..., :HORIZON_BINS].transpose(1, 2)  # [B, 32, 14]
    smooth = (window.bins @ SMOOTHING.to(window.bins.device)).transpose(1, 2)  # [B, 32, 14]
    moves = mean_moves(window.bins)  # [B, 14, 6]
    lead_moves = (moves @ BETWEEN_LAGS.to(moves.device)).transpose(1, 2)  # [B, 32, 14]
    newest = window.bins[..., -1]  # [B, 14]
    centre = window.quantiles[..., len(QUANTILES) // 2]  # [B, 14], 0 by construction
    last = newest[:, None].expand(-1, HORIZON_BINS, -1)  # [B, 32, 14]
    medians = torch.stack([centre[:, None].expand_as(last), smooth, last], -1)
    gaps = window.quantiles[..., 1:] - window.quantiles[..., :-1]  # [B, 14, 6]
    now = window.last[:, None].expand_as(last)
    seen = window.seen[..., :HORIZON_BINS].transpose(1, 2)
    features = torch.stack(
        [squash(exact), squash(smooth), squash(last), squash(now - last), seen], -1
    )
    return WindowBaselines(medians, gaps[:, None], lead_moves[..., None], smooth, moves, features)


def mean_moves(bins: Tensor) -> Tensor:
    """Return the mean absolute change of `bins` [B, 14, 96] over each of LAGS, [B, 14, 6]."""
    moves = [(bins[..., lag:] - bins[..., :-lag]).abs().mean(-1) for lag in WindowBaselines.LAGS]
    return torch.stack(moves, -1)  # [B, 14, 6]


def _smoothing() -> Tensor:
    """Return the matrix [96, 32] to the mean of the bins around the one a day before each lead."""
    bins = torch.arange(CONTEXT_BINS)[:, None]
    near = ((bins - torch.arange(HORIZON_BINS)).abs() <= _SMOOTH_BINS).float()
    return near / near.sum(0)


def _between_lags() -> Tensor:
    """Return the matrix [6, 32] that interpolates linearly from LAGS to the lead of each bin."""
    lags = torch.tensor(WindowBaselines.LAGS, dtype=torch.float32)
    matrix = torch.zeros(len(lags), HORIZON_BINS)
    for bin_ahead in range(HORIZON_BINS):
        lead = min(float(bin_ahead + 1), float(lags[-1]))
        upper = int((lags >= lead).nonzero()[0])
        lower = max(upper - 1, 0)
        gap = float(lags[upper] - lags[lower])
        share = (lead - float(lags[lower])) / gap if gap else 0.0
        matrix[lower, bin_ahead] += 1 - share
        matrix[upper, bin_ahead] += share
    return matrix


STEP_WIDTHS = torch.tensor(_NORMAL_STEPS)  # [6]
SMOOTHING = _smoothing()
BETWEEN_LAGS = _between_lags()
