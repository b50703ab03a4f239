"""Inference network: the same weights and results as `ForecastNetwork`, arranged for a CPU.

A CPU is fast with long contiguous rows, few passes over memory and nothing computed twice, at the
cost of readability. `parity_check` compares the two forms on every export.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from model_export.inference_transformer import InferenceTransformer
from model_export.network import MAX_LOG_STRETCH, SEEN_PARTS, ForecastNetwork, calendar
from model_export.scaling import (
    CONTEXT_BINS,
    HORIZON_BINS,
    Scaled,
    expansion,
    has_enough_context,
    scale,
    squash,
)
from model_export.window_baselines import (
    BETWEEN_LAGS,
    GATES,
    SMOOTHING,
    STEP_WIDTHS,
    YESTERDAY_WIDTH,
    mean_moves,
)
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, QUANTILES
from storage.model.metrics import METRICS

__all__ = ["InferenceNetwork"]

_METRICS, _LEVELS = len(METRICS), len(QUANTILES)
_GAPS = _LEVELS - 1


class InferenceNetwork(nn.Module):
    """The forecasts of `network` from the same three inputs and the readings in ascending order.

    `ranked` [B, 14, 288] comes from `scaling.ranked`: NumPy sorts 30 times faster than onnxruntime.
    Raise ValueError if the network's sizes `continuous` and `hidden` are equal.
    """

    grown: Tensor
    steps: Tensor
    slopes: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, network: ForecastNetwork) -> None:
        super().__init__()
        shape = network.shape
        if shape.continuous == shape.hidden:
            raise ValueError(
                f"continuous and hidden are both {shape.hidden}: the inference network needs two "
                "different sizes"
            )
        self.own = _InferenceMetricNetwork(network.own)
        self.fusion = _InferenceFusionNetwork(network.fusion)
        self.transformer = None
        if shape.transformer:
            order = torch.arange(_METRICS * shape.latent).reshape(_METRICS, -1).t().flatten()
            self.transformer = InferenceTransformer(network.transformer, order)
        self.latent = shape.latent
        slopes = cast(Tensor, network.slopes)
        age = torch.arange(1 - CONTEXT_STEPS, 1, dtype=torch.float32)
        self.register_buffer("grown", age[:, None] * slopes)  # [288, 14]
        ahead = torch.arange(1, HORIZON_STEPS + 1, dtype=torch.float32)[:, None]
        # bins to steps, and one column each for a metric's centre and its growth
        steps = torch.cat([expansion(), torch.ones_like(ahead), ahead], 1)
        self.register_buffer("steps", steps)  # [96, 34]
        self.register_buffer("slopes", slopes.repeat_interleave(_LEVELS)[None, None])  # [1, 1, 98]
        for name in ("low", "high"):
            bound = cast(Tensor, getattr(network, name))
            self.register_buffer(name, bound.expand(-1, _LEVELS).contiguous())  # [14, 7]

    def forward(
        self, context: Tensor, ranked: Tensor, week_minute: Tensor, profile: Tensor
    ) -> Tensor:
        """Return quantiles [B, 96, 14, 7] in the raw units of `context` [B, 288, 14]."""
        window = scale(context - self.grown, ranked)
        quantiles = self._scaled(window, week_minute, profile)  # [B, 7, 14, 32]
        return self._raw(window, quantiles)

    def _scaled(self, window: Scaled, week_minute: Tensor, profile: Tensor) -> Tensor:
        baselines = _InferenceBaselines(window)
        parts = [self.own(baselines)]
        if self.transformer is None:
            parts.insert(0, window.seen.new_zeros(1, self.latent, 1, 1).expand_as(parts[0]))
        else:
            parts.insert(0, self._joint(baselines, week_minute, profile))
        return cast(Tensor, self.fusion(torch.cat([*parts, baselines.features()], 1), baselines))

    def _joint(
        self, baselines: "_InferenceBaselines", week_minute: Tensor, profile: Tensor
    ) -> Tensor:
        clock = calendar(week_minute).permute(2, 1, 0)  # [4, 128, K]
        window = baselines.window
        observed = window.seen.mean(1, keepdim=True)  # [B, 1, 96]
        past = torch.cat([baselines.bins, observed], 1).permute(1, 2, 0)  # [15, 96, B]
        clock = clock.expand(-1, -1, past.shape[2])
        future = baselines.smooth_squashed.permute(1, 2, 0)  # [14, 32, B]
        assert self.transformer is not None
        latent = self.transformer(
            torch.cat([past, clock[:, :CONTEXT_BINS]]),
            torch.cat([clock[:, CONTEXT_BINS:], future]),
            (window.observed / CONTEXT_STEPS).t(),
            profile,
        )  # [B, latent * 14, 32]
        return cast(Tensor, latent.reshape(-1, self.latent, _METRICS, HORIZON_BINS))

    def _raw(self, window: Scaled, quantiles: Tensor) -> Tensor:
        offsets = quantiles * window.spread[:, None, :, None]
        offsets = offsets.permute(0, 3, 2, 1).flatten(2)  # [B, 32, 98]
        abstained = torch.full_like(window.centre, float("nan"))
        centre = torch.where(has_enough_context(window.observed), window.centre, abstained)
        centre = centre[..., None].expand(-1, -1, _LEVELS).flatten(1)[:, None]  # [B, 1, 98]
        slopes = self.slopes.expand_as(centre)
        raw = self.steps @ torch.cat([offsets, centre, slopes], 1)  # [B, 96, 98]
        raw = raw.reshape(-1, HORIZON_STEPS, _METRICS, _LEVELS)
        return torch.minimum(torch.maximum(raw, self.low), self.high)


class _InferenceBaselines:
    """`WindowBaselines` in the order [B, 14 metrics, bins], each computed once."""

    def __init__(self, window: Scaled) -> None:
        self.window = window
        self.bins = squash(window.bins)  # [B, 14, 96]
        self.smooth = window.bins @ SMOOTHING  # [B, 14, 32]
        self.smooth_squashed = squash(self.smooth)
        self.mean_moves = mean_moves(window.bins)  # [B, 14, 6]
        self.lead_moves = self.mean_moves @ BETWEEN_LAGS  # [B, 14, 32]
        self.newest = window.bins[..., -1:]  # [B, 14, 1]
        self.gaps = window.quantiles[..., 1:] - window.quantiles[..., :-1]  # [B, 14, 6]

    def features(self) -> Tensor:
        """Return the further inputs of the fusion network, [B, 5, 14, 32]."""
        features = [
            self.bins[..., :HORIZON_BINS],
            self.smooth_squashed,
            squash(self.newest).expand_as(self.smooth),
            squash(self.window.last[..., None] - self.newest).expand_as(self.smooth),
            self.window.seen[..., :HORIZON_BINS],
        ]
        return torch.stack(features, 1)

    def blend(self, gates: Any) -> tuple[Tensor, Tensor]:
        """Mix the baselines by `gates` [B, 3, 14, 32].

        Return the median [B, 1, 14, 32] and the gaps between quantiles [B, 6, 14, 32].
        """
        centre = self.window.quantiles[..., _LEVELS // 2, None]  # [B, 14, 1]
        context, yesterday, last = gates.split(1, 1)  # [B, 1, 14, 32]
        median = context * centre[:, None] + yesterday * self.smooth[:, None]
        median = median + last * self.newest[:, None]
        widths = (context + YESTERDAY_WIDTH * yesterday) * self.gaps.transpose(1, 2)[..., None]
        return median, widths + (last * self.lead_moves[:, None]) * STEP_WIDTHS[:, None, None]


class _InferenceMetricNetwork(nn.Module):
    """network._MetricNetwork with its output in the order [B, latent, 14, 32]."""

    def __init__(self, trained: Any) -> None:
        super().__init__()
        self.latent = cast(int, trained.latent)
        *layers, last = trained.layers
        order = torch.arange(last.out_features).reshape(HORIZON_BINS, self.latent).t().flatten()
        self.layers = nn.Sequential(
            *[layer for layer in layers if not isinstance(layer, nn.Dropout)],
            _reordered(last, order),
        )

    def forward(self, baselines: _InferenceBaselines) -> Tensor:
        window = baselines.window
        since = (window.bins - window.last[..., None]) / (baselines.mean_moves[..., :1] + 0.05)
        seen = window.seen.reshape(-1, _METRICS, SEEN_PARTS, CONTEXT_BINS // SEEN_PARTS)
        features = [
            baselines.bins,
            squash(since),
            squash(window.quantiles),
            seen.mean(-1),
            baselines.mean_moves.clamp(min=1e-3).log(),
            squash(window.last)[..., None],
            (window.observed / CONTEXT_STEPS)[..., None],
        ]
        latent: Tensor = self.layers(torch.cat(features, -1))  # [B, 14, latent * 32]
        return latent.reshape(-1, _METRICS, self.latent, HORIZON_BINS).transpose(1, 2)


class _InferenceFusionNetwork(nn.Module):
    """network._FusionNetwork with channels first: [B, channels, 14 * 32 metrics and bins]."""

    first: Tensor
    first_bias: Tensor
    middle: Tensor
    middle_bias: Tensor
    out: Tensor
    out_bias: Tensor
    widening: Tensor
    gaps_to_offsets: Tensor

    def __init__(self, trained: Any) -> None:
        super().__init__()
        joint, rest, middle = trained.joint, trained.rest, trained.layers[1]
        self._store("first", torch.cat([joint.weight, rest.weight], 1))
        bias = trained.lead + trained.metric + joint.bias + rest.bias  # [32, 14, fusion]
        self._store("first_bias", bias.permute(2, 1, 0).flatten(1))
        self._store("middle", middle.weight)
        self._store("middle_bias", middle.bias[:, None])
        self._store("out", trained.out.weight)
        out_bias = trained.out.bias.repeat(HORIZON_BINS, _METRICS, 1)  # [32, 14, 16]
        out_bias[..., :GATES] += trained.gates
        self._store("out_bias", out_bias.permute(2, 1, 0).flatten(1))
        widening = trained.widening.expand(HORIZON_BINS, _METRICS, _GAPS)
        self._store("widening", widening.permute(2, 1, 0).flatten(1))  # [6, 448]
        self._store("gaps_to_offsets", trained.gaps_to_offsets.t())  # [7, 6]

    def _store(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values.detach().float().contiguous())

    def forward(self, inputs: Tensor, baselines: _InferenceBaselines) -> Tensor:
        """Return quantiles [B, 7, 14, 32] in units of the spread."""
        hidden = self.first @ inputs.flatten(2) + self.first_bias
        hidden = nn.functional.silu(hidden)  # [B, fusion, 448]
        hidden = self.middle @ hidden + self.middle_bias
        out: Any = self.out @ nn.functional.silu(hidden) + self.out_bias
        gates, shift, stretch, extra = out.split([GATES, 1, _GAPS, _GAPS], 1)
        gates = (gates - gates.amax(1, keepdim=True)).exp()
        gates = (gates / gates.sum(1, keepdim=True)).reshape(-1, GATES, _METRICS, HORIZON_BINS)
        median, widths = baselines.blend(gates)
        stretch = (MAX_LOG_STRETCH * (stretch / MAX_LOG_STRETCH).tanh()).exp()
        widths = widths.flatten(2) * stretch + 0.02 * _softplus(extra)
        widths = widths * self.widening  # [B, 6, 448]
        levels: Tensor = median.flatten(2) + shift + self.gaps_to_offsets @ widths  # [B, 7, 448]
        return levels.reshape(-1, _LEVELS, _METRICS, HORIZON_BINS)


def _softplus(values: Tensor) -> Tensor:
    """Return log(1 + exp(x)); onnxruntime's own operator takes 10 ns per number."""
    return values.clamp(min=0) + (1 + (-values.abs()).exp()).log()


def _reordered(layer: nn.Linear, order: Tensor) -> nn.Linear:
    """Return the layer with its outputs in another order."""
    reordered = nn.Linear(layer.in_features, layer.out_features)
    reordered.load_state_dict({"weight": layer.weight[order], "bias": layer.bias[order]})
    return reordered
