"""The forecaster: raw readings in, raw quantiles out, a temporal fusion transformer in between.

The transformer reads all 14 metrics together in 15-minute bins. What it finds moves a plain
forecast that every window carries in itself (its own quantiles, yesterday, the last value), so
that an untrained network already makes that plain forecast.
"""

import math
import warnings
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from pytorch_forecasting import TemporalFusionTransformer
from pytorch_forecasting.metrics import QuantileLoss
from pytorch_forecasting.models.temporal_fusion_transformer.sub_modules import (
    TimeDistributedInterpolation,
)
from torch import Tensor, nn

from model_export.scaling import (
    CONTEXT_BINS,
    HORIZON_BINS,
    Scaled,
    enough,
    expansion,
    scale,
    slopes,
    squash,
)
from model_export.window_baselines import GATES, WindowBaselines, window_baselines
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, QUANTILES, STEP_MINUTES
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.profiles import PROFILE_NAMES

__all__ = ["PAIRS", "ForecastNetwork", "Shape", "calendar"]

PAIRS = len(QUANTILES) // 2  # of quantiles about the median
_MIDDLE = PAIRS
_STEPS = len(QUANTILES) - 1  # gaps between neighbouring quantiles
_OBSERVED = "observed_share"
_CLOCK = ("day_sin", "day_cos", "week_sin", "week_cos")
_WIDEST = 3.0  # a gap between quantiles may be e^3 times its plain width, or that much less
_ALONE = 0.25  # share of training windows without the transformer: each part must stand alone
_MINUTES_PER_DAY, _MINUTES_PER_WEEK = 1440, 10080


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network; hidden 32 with 15-minute bins was the best trade of the prototypes."""

    hidden: int = 32
    heads: int = 4
    continuous: int = 8
    latent: int = 8  # numbers per metric and bin that the transformer hands to the fusion
    own_hidden: int = 96
    own_latent: int = 8
    fusion: int = 64
    dropout: float = 0.1
    transformer: bool = True  # False: the same network with the transformer's output left out

    def as_dict(self) -> dict[str, Any]:
        """The sizes by name, for the card and the checkpoint."""
        return asdict(self)


def calendar(week_minute: Tensor, bins: int = CONTEXT_BINS + HORIZON_BINS) -> Tensor:
    """Sine and cosine of the time of day and of the week, [K, bins, 4].

    `week_minute` [K] is the minute after Monday 00:00 UTC at which the context starts.
    """
    minutes = torch.arange(bins, dtype=torch.float32, device=week_minute.device)
    minutes = week_minute[:, None] + minutes * (3 * STEP_MINUTES)  # [K, bins]
    turns = []
    for period in (_MINUTES_PER_DAY, _MINUTES_PER_WEEK):
        angle = (minutes / period - (minutes / period).floor()) * (2 * math.pi)
        turns += [angle.sin(), angle.cos()]
    return torch.stack(turns, -1)


class ForecastNetwork(nn.Module):
    """Forecast 8 h of 14 metrics from 24 h: `context` [B, 288, 14] to quantiles [B, 96, 14, 7].

    NaN in the context is a missing reading; a metric with fewer than 12 readings gets NaN.
    Quantiles never cross and stay inside each metric's valid range.
    """

    def __init__(self, shape: Shape | None = None) -> None:
        super().__init__()
        self.shape = shape or Shape()
        self.transformer = _transformer(self.shape)
        self.own = _OwnDay(self.shape)
        self.fusion = _Fusion(self.shape)
        self.register_buffer("slopes", slopes(), persistent=False)
        self.register_buffer("expansion", expansion(), persistent=False)
        low = torch.tensor([m.lowest for m in METRICS])[:, None]  # [14, 1]
        high = torch.tensor([m.highest or 3e38 for m in METRICS])[:, None]
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)

    def forward(self, context: Tensor, week_minute: Tensor, profile: Tensor) -> Tensor:
        """Quantiles [B, 96, 14, 7] in raw units.

        `week_minute` [B], or [1] for a fleet that shares its clock; `profile` [B] int64.
        """
        age = torch.arange(1 - CONTEXT_STEPS, 1, device=context.device, dtype=context.dtype)
        level = context - self._slope(age)  # [B, 288, 14]
        window = scale(level)
        quantiles = self.scaled(window, week_minute, profile)  # [B, 32, 14, 7]
        quantiles = self._every_step(quantiles)  # [B, 96, 14, 7]
        raw = window.centre[:, None, :, None] + quantiles * window.spread[:, None, :, None]
        ahead = torch.arange(1, HORIZON_STEPS + 1, device=context.device, dtype=context.dtype)
        raw = raw + self._slope(ahead)[:, :, None]
        raw = torch.minimum(torch.maximum(raw, cast(Tensor, self.low)), cast(Tensor, self.high))
        known = enough(window.observed)[:, None, :, None]  # [B, 1, 14, 1]
        return torch.where(known, raw, torch.full_like(raw, float("nan")))

    def widen(self, factors: Tensor) -> None:
        """Stretch the gaps between quantiles, lowest gap first; in a form that fits [32, 14, 6]."""
        cast(Tensor, self.fusion.widening).copy_(factors)

    def scaled(self, window: Scaled, week_minute: Tensor, profile: Tensor) -> Tensor:
        """Quantiles [B, 32, 14, 7] in units of each window's spread, in order."""
        plain = window_baselines(window)
        own = self.own(window, plain)  # [B, 32, 14, own_latent]
        joint = self._joint(window, plain, week_minute, profile)  # [B, 32, 14, latent]
        return cast(Tensor, self.fusion(joint, own, plain))

    def _every_step(self, quantiles: Tensor) -> Tensor:
        """From 15-minute bins [B, 32, 14, 7] to 5-minute steps [B, 96, 14, 7]."""
        flat = quantiles.flatten(2)  # [B, 32, 98]
        shape = (-1, HORIZON_STEPS, len(METRICS), len(QUANTILES))
        return (cast(Tensor, self.expansion) @ flat).reshape(shape)

    def _slope(self, steps: Tensor) -> Tensor:
        return steps[:, None] * cast(Tensor, self.slopes)  # [steps, 14]

    def _joint(
        self, window: Scaled, plain: WindowBaselines, week_minute: Tensor, profile: Tensor
    ) -> Tensor:
        batch = window.bins.shape[0]
        shape = (-1, HORIZON_BINS, len(METRICS), self.shape.latent)
        if not self.shape.transformer:
            return window.bins.new_zeros(batch, *shape[1:])
        clock = calendar(week_minute).expand(batch, -1, -1)  # [B, 128, 4]
        inputs = _transformer_inputs(window, plain, clock, profile)
        found: Tensor = self.transformer(inputs).prediction  # [B, 32, 14 * latent]
        if self.training:
            found = found * (torch.rand(batch, 1, 1, device=found.device) >= _ALONE)
        return found.reshape(shape)


class _OwnDay(nn.Module):
    """One network for every metric alone: the shape of its own day, [B, 32, 14, own_latent]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        ladder, seen, extras = len(QUANTILES), 8, 2 + len(WindowBaselines.LAGS)
        size = 2 * CONTEXT_BINS + ladder + seen + extras
        self.latent = shape.own_latent
        self.layers = nn.Sequential(
            nn.Linear(size, shape.own_hidden),
            nn.SiLU(),
            nn.Dropout(shape.dropout),
            nn.Linear(shape.own_hidden, shape.own_hidden),
            nn.SiLU(),
            nn.Linear(shape.own_hidden, HORIZON_BINS * shape.own_latent),
        )

    def forward(self, window: Scaled, plain: WindowBaselines) -> Tensor:
        since = window.bins - window.last[..., None]  # [B, 14, 96]
        pace = plain.pace[..., :1]  # [B, 14, 1] mean move within 15 minutes
        features = [
            squash(window.bins),
            squash(since / (pace + 0.05)),  # 0.05 spreads: a still series has no pace
            squash(window.ladder),
            window.seen.reshape(-1, len(METRICS), 8, CONTEXT_BINS // 8).mean(-1),
            plain.pace.clamp(min=1e-3).log(),
            squash(window.last)[..., None],
            (window.observed / CONTEXT_STEPS)[..., None],
        ]
        found: Tensor = self.layers(torch.cat(features, -1))  # [B, 14, 32 * own_latent]
        shape = (-1, len(METRICS), HORIZON_BINS, self.latent)
        return found.reshape(shape).transpose(1, 2)


class _Fusion(nn.Module):
    """Choose between the plain forecasts, move their median and stretch their bands."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.joint = nn.Linear(shape.latent, shape.fusion)
        self.rest = nn.Linear(shape.own_latent + WindowBaselines.HINTS, shape.fusion)
        self.lead = nn.Parameter(0.1 * torch.randn(HORIZON_BINS, 1, shape.fusion))
        self.metric = nn.Parameter(0.1 * torch.randn(len(METRICS), shape.fusion))
        self.layers = nn.Sequential(
            nn.SiLU(), nn.Linear(shape.fusion, shape.fusion), nn.SiLU(), nn.Dropout(shape.dropout)
        )
        self.out = nn.Linear(shape.fusion, GATES + 1 + 2 * _STEPS)
        nn.init.zeros_(self.out.weight)  # training starts from the plain forecasts
        nn.init.zeros_(self.out.bias)
        self.gates = nn.Parameter(_first_gates())
        self.register_buffer("climb", _climb(), persistent=False)
        # set by calibration, which comes after training
        self.register_buffer("widening", torch.ones(HORIZON_BINS, len(METRICS), _STEPS))

    def forward(self, joint: Tensor, own: Tensor, plain: WindowBaselines) -> Tensor:
        hidden = self.joint(joint) + self.rest(torch.cat([own, plain.hints], -1))
        hidden = self.layers(hidden + self.lead + self.metric)  # [B, 32, 14, fusion]
        gates, shift, stretch, extra = self.out(hidden).split([GATES, 1, _STEPS, _STEPS], -1)
        gates = (gates + self.gates).softmax(-1)  # [B, 32, 14, GATES]
        median, widths = plain.blend(gates)  # [B, 32, 14, 1], [B, 32, 14, 6]
        widths = widths * (_WIDEST * (stretch / _WIDEST).tanh()).exp()
        widths = widths + 0.02 * nn.functional.softplus(extra)  # a still series may yet move
        widths = widths * cast(Tensor, self.widening)
        quantiles: Tensor = median + shift + widths @ cast(Tensor, self.climb)  # [B, 32, 14, 7]
        return quantiles


def _first_gates() -> Tensor:
    """Logits [32, 14, GATES] of context quantiles, yesterday and last value before training.

    The last value counts for the first hours; a counter goes on from its last value.
    """
    lead = torch.arange(HORIZON_BINS, dtype=torch.float32)[:, None]
    logits = torch.zeros(HORIZON_BINS, len(METRICS), GATES)
    logits[..., 0] = 1.0
    logits[..., 2] = 2.0 - lead / 4
    counters = [i for i, m in enumerate(METRICS) if m.kind == "counter"]
    logits[:, counters, 2] = 8.0
    return logits


def _climb() -> Tensor:
    """Matrix [6, 7] from gaps between neighbouring quantiles to distances from the median."""
    matrix = torch.zeros(_STEPS, len(QUANTILES))
    for quantile in range(len(QUANTILES)):
        matrix[_MIDDLE:quantile, quantile] = 1.0
        matrix[quantile:_MIDDLE, quantile] = -1.0
    return matrix


def _transformer_inputs(
    window: Scaled, plain: WindowBaselines, clock: Tensor, profile: Tensor
) -> dict[str, Tensor]:
    """The dictionary that pytorch-forecasting's transformer reads, in the order of `_reals()`."""
    batch, metrics = window.bins.shape[0], len(METRICS)
    past = squash(window.bins.transpose(1, 2))  # [B, 96, 14]
    observed = window.seen.mean(1)[..., None]  # [B, 96, 1]
    yesterday = squash(plain.yesterday)  # [B, 32, 14]
    share = (window.observed / CONTEXT_STEPS)[:, None, :]  # [B, 1, 14]
    shares = share.expand(-1, CONTEXT_BINS, -1)
    encoder = torch.cat(
        [past, observed, clock[:, :CONTEXT_BINS], torch.zeros_like(past), shares], -1
    )  # [B, 96, 47]
    nothing = yesterday.new_zeros(batch, HORIZON_BINS, metrics + 1)
    shares = share.expand(-1, HORIZON_BINS, -1)
    decoder = torch.cat([nothing, clock[:, CONTEXT_BINS:], yesterday, shares], -1)  # [B, 32, 47]
    kinds = profile[:, None, None]  # [B, 1, 1]
    ones = torch.ones_like(profile)
    return {
        "encoder_cont": encoder,
        "decoder_cont": decoder,
        "encoder_cat": kinds.expand(-1, CONTEXT_BINS, -1),
        "decoder_cat": kinds.expand(-1, HORIZON_BINS, -1),
        "encoder_lengths": ones * CONTEXT_BINS,
        "decoder_lengths": ones * HORIZON_BINS,
        "target_scale": share,  # unused: scaling is done outside
    }


def _reals() -> tuple[list[str], list[str], list[str]]:
    """Names of the transformer's past, future and static real inputs."""
    past = [*METRIC_NAMES, _OBSERVED]
    future = [f"yesterday_{name}" for name in METRIC_NAMES]
    static = [f"share_{name}" for name in METRIC_NAMES]
    return past, future, static


def _unscaled(output: dict[str, Tensor]) -> Tensor:
    return output["prediction"]


def _transformer(shape: Shape) -> nn.Module:
    """pytorch-forecasting's transformer, with two of its parts put so that they export exactly."""
    past, future, static = _reals()
    with warnings.catch_warnings():
        # the library advises itself how to save checkpoints; ours are our own
        warnings.filterwarnings("ignore", message="Attribute '.*' is an instance of `nn.Module`")
        network = TemporalFusionTransformer(
            hidden_size=shape.hidden,
            attention_head_size=shape.heads,
            hidden_continuous_size=shape.continuous,
            dropout=shape.dropout,
            output_size=len(METRICS) * shape.latent,
            loss=QuantileLoss(list(QUANTILES)),
            max_encoder_length=CONTEXT_BINS,
            static_categoricals=["profile"],
            static_reals=static,
            time_varying_reals_encoder=[*past, *_CLOCK],
            time_varying_reals_decoder=[*_CLOCK, *future],
            x_reals=[*past, *_CLOCK, *future, *static],
            x_categoricals=["profile"],
            embedding_sizes={"profile": (len(PROFILE_NAMES), shape.continuous)},
            logging_metrics=nn.ModuleList(),
            output_transformer=_unscaled,
        )
    for name in ("lstm_encoder", "lstm_decoder"):
        setattr(network, name, _WholeLSTM(shape.hidden, shape.hidden, batch_first=True))
    _replace_interpolations(network)
    return cast(nn.Module, network)


class _WholeLSTM(nn.LSTM):
    """The transformer's LSTM for windows that are always whole: no packing by length."""

    def forward(  # type: ignore[override]  # the transformer passes lengths, nn.LSTM takes none
        self, steps: Tensor, state: tuple[Tensor, Tensor] | None = None, **_lengths: object
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return super().forward(steps, state)


class _MatrixInterpolation(nn.Module):
    """Linear interpolation of the last axis by a constant matrix: ONNX's Resize loses digits."""

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__()
        eye = torch.eye(size_in)[:, None]  # [in, 1, in]
        matrix = nn.functional.interpolate(eye, size_out, mode="linear", align_corners=True)
        self.register_buffer("matrix", matrix[:, 0], persistent=False)  # [in, out]

    def forward(self, values: Tensor) -> Tensor:
        return values @ cast(Tensor, self.matrix)


def _replace_interpolations(network: nn.Module) -> None:
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, TimeDistributedInterpolation):
                # ResampleNorm widens its input, AddNorm its skip connection
                source = "input_size" if hasattr(module, "output_size") else "skip_size"
                matrix = _MatrixInterpolation(getattr(module, source), child.output_size)
                setattr(module, name, matrix)
