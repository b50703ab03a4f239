"""Forecast network: raw readings to raw quantiles, with a Temporal Fusion Transformer in between.

The transformer reads all 14 metrics together in 15-minute bins. Its output corrects a blend of
window baselines (the window's quantiles, the day before, the last value), so an untrained network
already forecasts that blend.
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
    expansion,
    has_enough_context,
    scale,
    slopes,
    squash,
)
from model_export.window_baselines import GATES, WindowBaselines, window_baselines
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, QUANTILES, STEP_MINUTES
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.profiles import PROFILE_NAMES

__all__ = ["MAX_LOG_STRETCH", "PAIRS", "SEEN_PARTS", "ForecastNetwork", "Shape", "calendar"]

PAIRS = len(QUANTILES) // 2  # of quantiles around the median
_MIDDLE = PAIRS
SEEN_PARTS = 8  # of 3 h each, for which the metric network reads the observed share
_GAPS = len(QUANTILES) - 1  # between neighbouring quantiles
_OBSERVED = "observed_share"
_CLOCK = ("day_sin", "day_cos", "week_sin", "week_cos")
MAX_LOG_STRETCH = 3.0  # the network scales a baseline's gap by e^-3 to e^3
# share of training windows without the transformer's output, so that the rest works alone
_TRANSFORMER_DROPOUT = 0.25
_MINUTES_PER_DAY, _MINUTES_PER_WEEK = 1440, 10080


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network; 32 hidden units and 15-minute bins did best among the prototypes."""

    hidden: int = 32
    heads: int = 4
    continuous: int = 8
    latent: int = 8  # outputs of the transformer per metric and bin
    own_hidden: int = 96
    own_latent: int = 8
    fusion: int = 64
    dropout: float = 0.1
    transformer: bool = True  # False: zeros in place of the transformer's output

    def as_dict(self) -> dict[str, Any]:
        """Return the sizes by name, as the card and the checkpoint store them."""
        return asdict(self)


def calendar(week_minute: Tensor, bins: int = CONTEXT_BINS + HORIZON_BINS) -> Tensor:
    """Return sine and cosine of the time of day and of the time of week, [K, bins, 4].

    `week_minute` [K] is when each context starts, in minutes after Monday 00:00 UTC.
    """
    minutes = torch.arange(bins, dtype=torch.float32, device=week_minute.device)
    minutes = week_minute[:, None] + minutes * (3 * STEP_MINUTES)  # [K, bins]
    signals = []
    for period in (_MINUTES_PER_DAY, _MINUTES_PER_WEEK):
        angle = (minutes / period - (minutes / period).floor()) * (2 * math.pi)
        signals += [angle.sin(), angle.cos()]
    return torch.stack(signals, -1)


class ForecastNetwork(nn.Module):
    """Forecast 8 h of 14 metrics from 24 h: `context` [B, 288, 14] to quantiles [B, 96, 14, 7].

    NaN in the context is a missing reading. A metric with fewer than 12 readings is NaN in the
    forecast. Quantiles never cross and stay within each metric's valid range.
    """

    def __init__(self, shape: Shape | None = None) -> None:
        super().__init__()
        self.shape = shape or Shape()
        self.transformer = _transformer(self.shape)
        self.own = _MetricNetwork(self.shape)
        self.fusion = _FusionNetwork(self.shape)
        self.register_buffer("slopes", slopes(), persistent=False)
        self.register_buffer("expansion", expansion(), persistent=False)
        low = torch.tensor([m.lowest for m in METRICS])[:, None]  # [14, 1]
        high = torch.tensor([m.highest or 3e38 for m in METRICS])[:, None]
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)

    def forward(self, context: Tensor, week_minute: Tensor, profile: Tensor) -> Tensor:
        """Return quantiles [B, 96, 14, 7] in raw units.

        `week_minute` is [B], or [1] when all windows start at the same time; `profile` is [B]
        int64.
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
        known = has_enough_context(window.observed)[:, None, :, None]  # [B, 1, 14, 1]
        return torch.where(known, raw, torch.full_like(raw, float("nan")))

    def widen(self, factors: Tensor) -> None:
        """Set the factors on the gaps between quantiles, lowest gap first.

        `factors` broadcasts to [32, 14, 6]: bins ahead, metrics, gaps.
        """
        cast(Tensor, self.fusion.widening).copy_(factors)

    def scaled(self, window: Scaled, week_minute: Tensor, profile: Tensor) -> Tensor:
        """Return quantiles [B, 32, 14, 7] in units of each window's spread, in ascending order."""
        baselines = window_baselines(window)
        own = self.own(window, baselines)  # [B, 32, 14, own_latent]
        joint = self._joint(window, baselines, week_minute, profile)  # [B, 32, 14, latent]
        return cast(Tensor, self.fusion(joint, own, baselines))

    def _every_step(self, quantiles: Tensor) -> Tensor:
        """Interpolate 15-minute bins [B, 32, 14, 7] to 5-minute steps [B, 96, 14, 7]."""
        flat = quantiles.flatten(2)  # [B, 32, 98]
        shape = (-1, HORIZON_STEPS, len(METRICS), len(QUANTILES))
        return (cast(Tensor, self.expansion) @ flat).reshape(shape)

    def _slope(self, steps: Tensor) -> Tensor:
        return steps[:, None] * cast(Tensor, self.slopes)  # [steps, 14]

    def _joint(
        self, window: Scaled, baselines: WindowBaselines, week_minute: Tensor, profile: Tensor
    ) -> Tensor:
        batch = window.bins.shape[0]
        shape = (-1, HORIZON_BINS, len(METRICS), self.shape.latent)
        if not self.shape.transformer:
            return window.bins.new_zeros(batch, *shape[1:])
        clock = calendar(week_minute).expand(batch, -1, -1)  # [B, 128, 4]
        inputs = _transformer_inputs(window, baselines, clock, profile)
        latent: Tensor = self.transformer(inputs).prediction  # [B, 32, 14 * latent]
        if self.training:
            keep = torch.rand(batch, 1, 1, device=latent.device) >= _TRANSFORMER_DROPOUT
            latent = latent * keep
        return latent.reshape(shape)


class _MetricNetwork(nn.Module):
    """A network applied to each metric by itself: the daily pattern, [B, 32, 14, own_latent]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        size = 2 * CONTEXT_BINS + len(QUANTILES) + SEEN_PARTS + len(WindowBaselines.LAGS) + 2
        self.latent = shape.own_latent
        self.layers = nn.Sequential(
            nn.Linear(size, shape.own_hidden),
            nn.SiLU(),
            nn.Dropout(shape.dropout),
            nn.Linear(shape.own_hidden, shape.own_hidden),
            nn.SiLU(),
            nn.Linear(shape.own_hidden, HORIZON_BINS * shape.own_latent),
        )

    def forward(self, window: Scaled, baselines: WindowBaselines) -> Tensor:
        since = window.bins - window.last[..., None]  # [B, 14, 96]
        move = baselines.mean_moves[..., :1]  # [B, 14, 1] mean change within 15 minutes
        features = [
            squash(window.bins),
            squash(since / (move + 0.05)),  # 0.05 spreads: a constant series has a mean of 0
            squash(window.quantiles),
            window.seen.reshape(-1, len(METRICS), SEEN_PARTS, CONTEXT_BINS // SEEN_PARTS).mean(-1),
            baselines.mean_moves.clamp(min=1e-3).log(),
            squash(window.last)[..., None],
            (window.observed / CONTEXT_STEPS)[..., None],
        ]
        latent: Tensor = self.layers(torch.cat(features, -1))  # [B, 14, 32 * own_latent]
        shape = (-1, len(METRICS), HORIZON_BINS, self.latent)
        return latent.reshape(shape).transpose(1, 2)


class _FusionNetwork(nn.Module):
    """Blend the window baselines, shift their median and scale their bands."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.joint = nn.Linear(shape.latent, shape.fusion)
        self.rest = nn.Linear(shape.own_latent + WindowBaselines.FEATURES, shape.fusion)
        self.lead = nn.Parameter(0.1 * torch.randn(HORIZON_BINS, 1, shape.fusion))
        self.metric = nn.Parameter(0.1 * torch.randn(len(METRICS), shape.fusion))
        self.layers = nn.Sequential(
            nn.SiLU(), nn.Linear(shape.fusion, shape.fusion), nn.SiLU(), nn.Dropout(shape.dropout)
        )
        self.out = nn.Linear(shape.fusion, GATES + 1 + 2 * _GAPS)
        nn.init.zeros_(self.out.weight)  # training starts from the baselines
        nn.init.zeros_(self.out.bias)
        self.gates = nn.Parameter(_first_gates())
        self.register_buffer("gaps_to_offsets", _gaps_to_offsets(), persistent=False)
        # set by `calibrate` after training
        self.register_buffer("widening", torch.ones(HORIZON_BINS, len(METRICS), _GAPS))

    def forward(self, joint: Tensor, own: Tensor, baselines: WindowBaselines) -> Tensor:
        hidden = self.joint(joint) + self.rest(torch.cat([own, baselines.features], -1))
        hidden = self.layers(hidden + self.lead + self.metric)  # [B, 32, 14, fusion]
        gates, shift, stretch, extra = self.out(hidden).split([GATES, 1, _GAPS, _GAPS], -1)
        gates = (gates + self.gates).softmax(-1)  # [B, 32, 14, GATES]
        median, widths = baselines.blend(gates)  # [B, 32, 14, 1], [B, 32, 14, 6]
        widths = widths * (MAX_LOG_STRETCH * (stretch / MAX_LOG_STRETCH).tanh()).exp()
        widths = widths + 0.02 * nn.functional.softplus(extra)  # a constant series may change
        widths = widths * cast(Tensor, self.widening)
        quantiles: Tensor = (
            median + shift + widths @ cast(Tensor, self.gaps_to_offsets)
        )  # [B, 32, 14, 7]
        return quantiles


def _first_gates() -> Tensor:
    """Return the logits [32, 14, GATES] of the baselines before training.

    The last value dominates the first hours, and all leads of a counter.
    """
    lead = torch.arange(HORIZON_BINS, dtype=torch.float32)[:, None]
    logits = torch.zeros(HORIZON_BINS, len(METRICS), GATES)
    logits[..., 0] = 1.0
    logits[..., 2] = 2.0 - lead / 4
    counters = [i for i, m in enumerate(METRICS) if m.kind == "counter"]
    logits[:, counters, 2] = 8.0
    return logits


def _gaps_to_offsets() -> Tensor:
    """Return the matrix [6, 7] from gaps between neighbouring quantiles to median offsets."""
    matrix = torch.zeros(_GAPS, len(QUANTILES))
    for quantile in range(len(QUANTILES)):
        matrix[_MIDDLE:quantile, quantile] = 1.0
        matrix[quantile:_MIDDLE, quantile] = -1.0
    return matrix


def _transformer_inputs(
    window: Scaled, baselines: WindowBaselines, clock: Tensor, profile: Tensor
) -> dict[str, Tensor]:
    """Return the inputs of pytorch-forecasting's transformer, columns in the order of `_reals`."""
    batch, metrics = window.bins.shape[0], len(METRICS)
    past = squash(window.bins.transpose(1, 2))  # [B, 96, 14]
    observed = window.seen.mean(1)[..., None]  # [B, 96, 1]
    yesterday = squash(baselines.yesterday)  # [B, 32, 14]
    share = (window.observed / CONTEXT_STEPS)[:, None, :]  # [B, 1, 14]
    shares = share.expand(-1, CONTEXT_BINS, -1)
    encoder = torch.cat(
        [past, observed, clock[:, :CONTEXT_BINS], torch.zeros_like(past), shares], -1
    )  # [B, 96, 47]
    unknown = yesterday.new_zeros(batch, HORIZON_BINS, metrics + 1)  # bins and observed share
    shares = share.expand(-1, HORIZON_BINS, -1)
    decoder = torch.cat([unknown, clock[:, CONTEXT_BINS:], yesterday, shares], -1)  # [B, 32, 47]
    kinds = profile[:, None, None]  # [B, 1, 1]
    ones = torch.ones_like(profile)
    return {
        "encoder_cont": encoder,
        "decoder_cont": decoder,
        "encoder_cat": kinds.expand(-1, CONTEXT_BINS, -1),
        "decoder_cat": kinds.expand(-1, HORIZON_BINS, -1),
        "encoder_lengths": ones * CONTEXT_BINS,
        "decoder_lengths": ones * HORIZON_BINS,
        "target_scale": share,  # required, and unused here
    }


def _reals() -> tuple[list[str], list[str], list[str]]:
    """Return the names of the transformer's past, future and static real inputs."""
    past = [*METRIC_NAMES, _OBSERVED]
    future = [f"yesterday_{name}" for name in METRIC_NAMES]
    static = [f"share_{name}" for name in METRIC_NAMES]
    return past, future, static


def _unscaled(output: dict[str, Tensor]) -> Tensor:
    return output["prediction"]


def _transformer(shape: Shape) -> nn.Module:
    """Return pytorch-forecasting's transformer with two parts replaced by ones that export well."""
    past, future, static = _reals()
    with warnings.catch_warnings():
        # advice about Lightning's checkpoints, which are not used here
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
    _use_matrix_interpolations(network)
    return cast(nn.Module, network)


class _WholeLSTM(nn.LSTM):
    """The transformer's LSTM for windows of constant length: no packing by length."""

    def forward(  # type: ignore[override]  # the transformer passes lengths, nn.LSTM takes none
        self, steps: Tensor, state: tuple[Tensor, Tensor] | None = None, **_lengths: object
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return super().forward(steps, state)


class _MatrixInterpolation(nn.Module):
    """Linear interpolation of the last axis by a constant matrix: ONNX's Resize is less exact."""

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__()
        eye = torch.eye(size_in)[:, None]  # [in, 1, in]
        matrix = nn.functional.interpolate(eye, size_out, mode="linear", align_corners=True)
        self.register_buffer("matrix", matrix[:, 0], persistent=False)  # [in, out]

    def forward(self, values: Tensor) -> Tensor:
        return values @ cast(Tensor, self.matrix)


def _use_matrix_interpolations(network: nn.Module) -> None:
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, TimeDistributedInterpolation):
                # ResampleNorm widens its input, AddNorm its skip connection
                source = "input_size" if hasattr(module, "output_size") else "skip_size"
                matrix = _MatrixInterpolation(getattr(module, source), child.output_size)
                setattr(module, name, matrix)
