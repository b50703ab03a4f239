"""The forecaster as it is served: the network's own weights and mathematics, put for a CPU.

Training reads well in the order in which one thinks; a CPU wants long contiguous rows, few passes
over memory and nothing computed twice. `verify` holds the two against each other on every export.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from model_export.inference_transformer import InferenceTransformer
from model_export.network import ForecastNetwork, calendar
from model_export.scaling import (
    CONTEXT_BINS,
    HORIZON_BINS,
    Scaled,
    enough,
    expansion,
    scale,
    squash,
)
from model_export.window_baselines import (
    BETWEEN_LAGS,
    GATES,
    SMOOTHING,
    STEP_WIDTHS,
    YESTERDAY_WIDTH,
    pace,
)
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, QUANTILES
from storage.model.metrics import METRICS

__all__ = ["InferenceNetwork"]

_METRICS, _LEVELS = len(METRICS), len(QUANTILES)
_GAPS = _LEVELS - 1
_SEEN_PARTS = 8
_PLACES = _METRICS * HORIZON_BINS  # metric by metric, bin by bin
_WIDEST = 3.0


class InferenceNetwork(nn.Module):
    """What `network` computes, from the same three inputs and the readings in order.

    `ranked` [B, 14, 288] holds each metric's readings in ascending order, NaN last, uptime without
    what it grows by definition: NumPy sorts 30 times faster than onnxruntime.
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
                f"continuous and hidden are both {shape.hidden}: the serving form needs two sizes"
            )
        self.own = _InferenceOwnDay(network.own)
        self.fusion = _InferenceFusion(network.fusion)
        self.transformer = None
        if shape.transformer:
            order = torch.arange(_METRICS * shape.latent).reshape(_METRICS, -1).t().flatten()
            self.transformer = InferenceTransformer(network.transformer, order)
        self.latent = shape.latent
        slopes = cast(Tensor, network.slopes)
        age = torch.arange(1 - CONTEXT_STEPS, 1, dtype=torch.float32)
        self.register_buffer("grown", age[:, None] * slopes)  # [288, 14]
        ahead = torch.arange(1, HORIZON_STEPS + 1, dtype=torch.float32)[:, None]
        # bins to steps, then what each metric's centre and growth add to every step
        steps = torch.cat([expansion(), torch.ones_like(ahead), ahead], 1)
        self.register_buffer("steps", steps)  # [96, 34]
        self.register_buffer("slopes", slopes.repeat_interleave(_LEVELS)[None, None])  # [1, 1, 98]
        for name in ("low", "high"):
            bound = cast(Tensor, getattr(network, name))
            self.register_buffer(name, bound.expand(-1, _LEVELS).contiguous())  # [14, 7]

    def forward(
        self, context: Tensor, ranked: Tensor, week_minute: Tensor, profile: Tensor
    ) -> Tensor:
        """Quantiles [B, 96, 14, 7] in raw units of `context` [B, 288, 14]."""
        window = scale(context - self.grown, ranked)
        quantiles = self._scaled(window, week_minute, profile)  # [B, 7, 14, 32]
        return self._raw(window, quantiles)

    def _scaled(self, window: Scaled, week_minute: Tensor, profile: Tensor) -> Tensor:
        plain = _Plain(window)
        parts = [self.own(plain)]
        if self.transformer is None:
            parts.insert(0, window.seen.new_zeros(1, self.latent, 1, 1).expand_as(parts[0]))
        else:
            parts.insert(0, self._joint(plain, week_minute, profile))
        return cast(Tensor, self.fusion(torch.cat([*parts, plain.hints()], 1), plain))

    def _joint(self, plain: "_Plain", week_minute: Tensor, profile: Tensor) -> Tensor:
        clock = calendar(week_minute).permute(2, 1, 0)  # [4, 128, K]
        window = plain.window
        observed = window.seen.mean(1, keepdim=True)  # [B, 1, 96]
        past = torch.cat([plain.bins, observed], 1).permute(1, 2, 0)  # [15, 96, B]
        clock = clock.expand(-1, -1, past.shape[2])
        future = plain.smooth_squashed.permute(1, 2, 0)  # [14, 32, B]
        assert self.transformer is not None
        found = self.transformer(
            torch.cat([past, clock[:, :CONTEXT_BINS]]),
            torch.cat([clock[:, CONTEXT_BINS:], future]),
            (window.observed / CONTEXT_STEPS).t(),
            profile,
        )  # [B, latent * 14, 32]
        return cast(Tensor, found.reshape(-1, self.latent, _METRICS, HORIZON_BINS))

    def _raw(self, window: Scaled, quantiles: Tensor) -> Tensor:
        moved = quantiles * window.spread[:, None, :, None]
        moved = moved.permute(0, 3, 2, 1).flatten(2)  # [B, 32, 98]
        nothing = torch.full_like(window.centre, float("nan"))
        centre = torch.where(enough(window.observed), window.centre, nothing)
        centre = centre[..., None].expand(-1, -1, _LEVELS).flatten(1)[:, None]  # [B, 1, 98]
        slopes = self.slopes.expand_as(centre)
        raw = self.steps @ torch.cat([moved, centre, slopes], 1)  # [B, 96, 98]
        raw = raw.reshape(-1, HORIZON_STEPS, _METRICS, _LEVELS)
        return torch.minimum(torch.maximum(raw, self.low), self.high)


class _Plain:
    """The plain forecasts of plain.py in the order [B, 14 metrics, bins], each made once."""

    def __init__(self, window: Scaled) -> None:
        self.window = window
        self.bins = squash(window.bins)  # [B, 14, 96]
        self.smooth = window.bins @ SMOOTHING  # [B, 14, 32]
        self.smooth_squashed = squash(self.smooth)
        self.pace = pace(window.bins)  # [B, 14, 6]
        self.reach = self.pace @ BETWEEN_LAGS  # [B, 14, 32]
        self.newest = window.bins[..., -1:]  # [B, 14, 1]
        self.gaps = window.ladder[..., 1:] - window.ladder[..., :-1]  # [B, 14, 6]

    def hints(self) -> Tensor:
        """What the fusion may look at, [B, 5, 14, 32]."""
        hints = [
            self.bins[..., :HORIZON_BINS],
            self.smooth_squashed,
            squash(self.newest).expand_as(self.smooth),
            squash(self.window.last[..., None] - self.newest).expand_as(self.smooth),
            self.window.seen[..., :HORIZON_BINS],
        ]
        return torch.stack(hints, 1)

    def blend(self, gates: Any) -> tuple[Tensor, Tensor]:
        """Median [B, 1, 14, 32] and gaps [B, 6, 14, 32] mixed by `gates` [B, 3, 14, 32]."""
        centre = self.window.ladder[..., _LEVELS // 2, None]  # [B, 14, 1]
        context, yesterday, last = gates.split(1, 1)  # [B, 1, 14, 32]
        median = context * centre[:, None] + yesterday * self.smooth[:, None]
        median = median + last * self.newest[:, None]
        widths = (context + YESTERDAY_WIDTH * yesterday) * self.gaps.transpose(1, 2)[..., None]
        return median, widths + (last * self.reach[:, None]) * STEP_WIDTHS[:, None, None]


class _InferenceOwnDay(nn.Module):
    """network._OwnDay with its output in the order [B, latent, 14, 32]."""

    def __init__(self, slow: Any) -> None:
        super().__init__()
        self.latent = cast(int, slow.latent)
        *layers, last = slow.layers
        order = torch.arange(last.out_features).reshape(HORIZON_BINS, self.latent).t().flatten()
        self.layers = nn.Sequential(
            *[layer for layer in layers if not isinstance(layer, nn.Dropout)],
            _reordered(last, order),
        )

    def forward(self, plain: _Plain) -> Tensor:
        window = plain.window
        since = (window.bins - window.last[..., None]) / (plain.pace[..., :1] + 0.05)
        seen = window.seen.reshape(-1, _METRICS, _SEEN_PARTS, CONTEXT_BINS // _SEEN_PARTS)
        features = [
            plain.bins,
            squash(since),
            squash(window.ladder),
            seen.mean(-1),
            plain.pace.clamp(min=1e-3).log(),
            squash(window.last)[..., None],
            (window.observed / CONTEXT_STEPS)[..., None],
        ]
        found: Tensor = self.layers(torch.cat(features, -1))  # [B, 14, latent * 32]
        return found.reshape(-1, _METRICS, self.latent, HORIZON_BINS).transpose(1, 2)


class _InferenceFusion(nn.Module):
    """network._Fusion with channels in front of its 448 places: [B, channels, 14, 32]."""

    first: Tensor
    first_bias: Tensor
    middle: Tensor
    middle_bias: Tensor
    out: Tensor
    out_bias: Tensor
    widening: Tensor
    climb: Tensor

    def __init__(self, slow: Any) -> None:
        super().__init__()
        joint, rest, middle = slow.joint, slow.rest, slow.layers[1]
        self._keep("first", torch.cat([joint.weight, rest.weight], 1))
        bias = slow.lead + slow.metric + joint.bias + rest.bias  # [32, 14, fusion]
        self._keep("first_bias", bias.permute(2, 1, 0).flatten(1))
        self._keep("middle", middle.weight)
        self._keep("middle_bias", middle.bias[:, None])
        self._keep("out", slow.out.weight)
        out_bias = slow.out.bias.repeat(HORIZON_BINS, _METRICS, 1)  # [32, 14, 16]
        out_bias[..., :GATES] += slow.gates
        self._keep("out_bias", out_bias.permute(2, 1, 0).flatten(1))
        widening = slow.widening.expand(HORIZON_BINS, _METRICS, _GAPS)
        self._keep("widening", widening.permute(2, 1, 0).flatten(1))  # [6, 448]
        self._keep("climb", slow.climb.t())  # [7, 6]

    def _keep(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values.detach().float().contiguous())

    def forward(self, inputs: Tensor, plain: _Plain) -> Tensor:
        """Quantiles [B, 7, 14, 32] in units of the spread."""
        hidden = self.first @ inputs.flatten(2) + self.first_bias
        hidden = nn.functional.silu(hidden)  # [B, fusion, 448]
        hidden = self.middle @ hidden + self.middle_bias
        out: Any = self.out @ nn.functional.silu(hidden) + self.out_bias
        gates, shift, stretch, extra = out.split([GATES, 1, _GAPS, _GAPS], 1)
        gates = (gates - gates.amax(1, keepdim=True)).exp()
        gates = (gates / gates.sum(1, keepdim=True)).reshape(-1, GATES, _METRICS, HORIZON_BINS)
        median, widths = plain.blend(gates)
        stretch = (_WIDEST * (stretch / _WIDEST).tanh()).exp()
        widths = widths.flatten(2) * stretch + 0.02 * _softplus(extra)
        widths = widths * self.widening  # [B, 6, 448]
        found: Tensor = median.flatten(2) + shift + self.climb @ widths  # [B, 7, 448]
        return found.reshape(-1, _LEVELS, _METRICS, HORIZON_BINS)


def _softplus(values: Tensor) -> Tensor:
    """log(1 + exp(x)); onnxruntime's own takes 10 ns a number."""
    return values.clamp(min=0) + (1 + (-values.abs()).exp()).log()


def _reordered(layer: nn.Linear, order: Tensor) -> nn.Linear:
    """The same layer with its outputs in another order."""
    swift = nn.Linear(layer.in_features, layer.out_features)
    swift.load_state_dict({"weight": layer.weight[order], "bias": layer.bias[order]})
    return swift
