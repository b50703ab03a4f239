"""Inference transformer: pytorch-forecasting's Temporal Fusion Transformer, arranged for a CPU.

Same weights, same results. Three changes make it fast. Consecutive linear layers are merged into
one matrix. Channels come before positions, so elementwise steps run over long contiguous rows. The
network of each single variable in a variable selection, a curve from a number to a vector, is a
table that is computed on export.

Shapes: V variables, H hidden size, C size of an embedded variable, N positions (servers, or bins
times servers), T bins, B servers.
"""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from model_export.scaling import CONTEXT_BINS, HORIZON_BINS
from storage.model.grid import CONTEXT_STEPS

__all__ = ["SIGNAL_RANGE", "InferenceTransformer", "InputRange"]

_MASKED = -1e9  # what pytorch-forecasting adds to the score of a masked key


class InferenceTransformer(nn.Module):
    """The prediction of a TemporalFusionTransformer with one categorical and constant lengths.

    `order` is a permutation of its output channels.
    """

    def __init__(self, trained: Any, order: Tensor) -> None:
        super().__init__()
        self.static = _Selection(
            trained.static_variable_selection, SHARE_RANGE, _embeddings(trained)
        )
        self.encoder = _Selection(trained.encoder_variable_selection, SIGNAL_RANGE)
        self.decoder = _Selection(trained.decoder_variable_selection, SIGNAL_RANGE)
        contexts = (
            trained.static_context_variable_selection,
            trained.static_context_initial_hidden_lstm,
            trained.static_context_initial_cell_lstm,
            trained.static_context_enrichment,
        )
        self.contexts = _Residual(contexts)
        self.lstm_encoder = _time_first_lstm(trained.lstm_encoder)
        self.lstm_decoder = _time_first_lstm(trained.lstm_decoder)
        gate = trained.post_lstm_gate_encoder.fc
        self.after_lstm = _GatedUnit([_affine(gate)], [trained.post_lstm_add_norm_encoder.norm])
        self.enrichment = _Residual([trained.static_enrichment])
        self.attention = _Attention(trained.multihead_attn)
        mixed = _composed(
            _affine(trained.multihead_attn.w_h), _affine(trained.post_attn_gate_norm.glu.fc)
        )
        self.after_attention = _GatedUnit([mixed], [trained.post_attn_gate_norm.add_norm.norm])
        self.feed_forward = _Residual([trained.pos_wise_ff])
        last = trained.pre_output_gate_norm
        self.before_output = _GatedUnit([_affine(last.glu.fc)], [last.add_norm.norm])
        output = _affine(trained.output_layer)
        self.output = _Linear([_Affine(output.weight[order], output.bias[order])])

    def forward(self, past: Tensor, future: Tensor, static: Tensor, profile: Tensor) -> Tensor:
        """Return the prediction [B, channels, 32].

        `past` is [V, 96, B], `future` [V, 32, B], `static` [V, B], `profile` [B] int64.
        """
        static_vector = self.static(static, None, profile).t()  # [H, B]
        contexts = self.contexts(static_vector[None], None)  # [4, H, B]
        selection, hidden, cell, enrichment = contexts.unbind(0)  # [H, B]
        encoder_in = self.encoder(past, selection)  # [96, B, H]
        decoder_in = self.decoder(future, selection)  # [32, B, H]
        state = (hidden.t()[None], cell.t()[None])  # [1, B, H]
        encoder_out, state = self.lstm_encoder(encoder_in, state)
        decoder_out, _ = self.lstm_decoder(decoder_in, state)
        lstm = torch.cat([encoder_out, decoder_out]).permute(1, 2, 0)  # [B, H, 128]
        selected = torch.cat([encoder_in, decoder_in]).permute(1, 2, 0)  # [B, H, 128]
        local = self.after_lstm(lstm, selected)  # [B, H, 128]
        enriched = self.enrichment(local, enrichment.t()[..., None])  # [B, H, 128]
        ahead = enriched[..., CONTEXT_BINS:]  # [B, H, 32]
        attended = self.after_attention(self.attention(enriched, ahead), ahead)  # [B, H, 32]
        output = self.before_output(self.feed_forward(attended, None), local[..., CONTEXT_BINS:])
        return cast(Tensor, self.output(output))


@dataclass(frozen=True, slots=True)
class InputRange:
    """The range of the variables of a selection, and the number of pieces of their tables.

    Pieces are equally long by default. With `dense` they are shortest at 0, and four times as long
    at `dense`.
    """

    pieces: int
    usual: tuple[float, float]
    others: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    dense: float = math.inf

    def of(self, name: str) -> tuple[float, float]:
        """Return the smallest and the largest value of the variable `name`."""
        return self.others.get(name, self.usual)


# of n readings none is more than n mean deviations from the median; inputs are squashed
_LARGEST_SIGNAL = math.log1p(CONTEXT_STEPS)
_CLOCK = dict.fromkeys(("day_sin", "day_cos", "week_sin", "week_cos"), (-1.0, 1.0))
SIGNAL_RANGE = InputRange(
    512, (-_LARGEST_SIGNAL, _LARGEST_SIGNAL), {**_CLOCK, "observed_share": (0.0, 1.0)}, dense=1.5
)
SHARE_RANGE = InputRange(
    CONTEXT_STEPS, (0.0, 1.0)
)  # shares are multiples of 1/288, so each has a knot


class _Affine(NamedTuple):
    """The map x -> weight @ x + bias, in double precision until it is stored in a module."""

    weight: Tensor  # [out, in]
    bias: Tensor  # [out]


def _affine(layer: Any) -> _Affine:
    bias = layer.bias
    weight = layer.weight.detach().double()
    return _Affine(
        weight, weight.new_zeros(len(weight)) if bias is None else bias.detach().double()
    )


def _composed(first: _Affine, second: _Affine) -> _Affine:
    return _Affine(second.weight @ first.weight, second.weight @ first.bias + second.bias)


def _stacked(values: Sequence[Tensor]) -> Tensor:
    """Stack tensors of equal shape along a new first axis; a single one is returned as it is."""
    stacked = torch.stack(list(values)) if len(values) > 1 else values[0]
    return stacked.float().contiguous()


class _Linear(nn.Module):
    """Affine maps of channels, [..., in, N] to [..., out, N]; several maps are a first axis."""

    weight: Tensor
    bias: Tensor

    def __init__(self, maps: Sequence[_Affine]) -> None:
        super().__init__()
        self.register_buffer("weight", _stacked([m.weight for m in maps]))
        self.register_buffer("bias", _stacked([m.bias[:, None] for m in maps]))

    def forward(self, values: Tensor) -> Tensor:
        return self.weight @ values + self.bias


class _GatedUnit(nn.Module):
    """Gated linear unit, skip connection and layer normalisation over channels."""

    def __init__(self, maps: Sequence[_Affine], norms: Sequence[Any]) -> None:
        super().__init__()
        halves = [(len(m.bias) // 2, m) for m in maps]
        self.value = _Linear([_Affine(m.weight[:half], m.bias[:half]) for half, m in halves])
        self.gate = _Linear([_Affine(m.weight[half:], m.bias[half:]) for half, m in halves])
        self.norm = _Norm(norms)

    def forward(self, values: Tensor, skip: Tensor) -> Tensor:
        return cast(Tensor, self.norm(self.value(values) * self.gate(values).sigmoid() + skip))


class _Norm(nn.Module):
    """LayerNorm over the channels of [..., H, N]."""

    gain: Tensor
    bias: Tensor

    def __init__(self, norms: Sequence[Any]) -> None:
        super().__init__()
        self.eps = float(norms[0].eps)
        self.register_buffer("gain", _stacked([n.weight.detach()[:, None] for n in norms]))
        self.register_buffer("bias", _stacked([n.bias.detach()[:, None] for n in norms]))

    def forward(self, values: Tensor) -> Tensor:
        centred = values - values.mean(-2, keepdim=True)
        scale = ((centred * centred).mean(-2, keepdim=True) + self.eps).rsqrt()
        return centred * scale * self.gain + self.bias


def _elu_and_1(values: Tensor) -> Tensor:
    """Return elu(x) + 1, which is cheaper; `_after_elu` subtracts the 1 in the next layer."""
    return values.clamp(min=0) + values.clamp(max=0).exp()


def _after_elu(map_: _Affine) -> _Affine:
    """Return the map that gives the same output for inputs that are greater by 1."""
    return _Affine(map_.weight, map_.bias - map_.weight.sum(1))


def _gate_map(network: Any) -> _Affine:
    """Return the map from `_elu_and_1` to both halves of a GatedResidualNetwork's gate."""
    return _after_elu(_composed(_affine(network.fc2), _affine(network.gate_norm.glu.fc)))


class _Residual(nn.Module):
    """GatedResidualNetworks of equal input and output size; several networks are a first axis."""

    def __init__(self, networks: Sequence[Any]) -> None:
        super().__init__()
        self.first = _Linear([_affine(n.fc1) for n in networks])
        self.gate = _GatedUnit(
            [_gate_map(n) for n in networks], [n.gate_norm.add_norm.norm for n in networks]
        )
        extra = getattr(networks[0], "context", None)
        self.context = _Linear([_affine(extra)]) if extra is not None else None

    def forward(self, values: Tensor, context: Tensor | None) -> Tensor:
        first = self.first(values)
        if context is not None and self.context is not None:
            first = first + self.context(context)
        return cast(Tensor, self.gate(_elu_and_1(first), values))


class _TabulatedCurves(nn.Module):
    """The single-variable networks of a selection, from a number to a vector, read from a table.

    Values between two knots are interpolated linearly.
    """

    table: Tensor
    first_rows: Tensor
    scale: Tensor
    origin: Tensor

    def __init__(self, trained: Any, range_: InputRange) -> None:
        super().__init__()
        names = [name for name in trained.input_sizes if name in trained.prescalers]
        bounds = torch.tensor([range_.of(name) for name in names]).double()
        self.dense = range_.dense
        low, high = self._warped(bounds).unbind(1)
        self.last = range_.pieces - 1
        knots = torch.linspace(0, 1, range_.pieces + 1, dtype=torch.float64)
        warped = low[:, None] + (high - low)[:, None] * knots  # [V, knots]
        inputs = warped / (1 - warped.abs() / self.dense)
        exact = deepcopy(trained).eval().double()
        with torch.no_grad():
            curves = [
                exact.single_variable_grns[name](exact.prescalers[name](column[:, None]))
                for name, column in zip(names, inputs, strict=True)
            ]  # each [knots, H]
        self._store("table", torch.cat(curves).float())
        self._store("first_rows", torch.arange(len(names))[:, None] * len(knots))
        scale = range_.pieces / (high - low)
        self._store("scale", scale.float()[:, None])
        self._store("origin", (low * scale).float()[:, None])

    def _store(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values.contiguous())

    def _warped(self, values: Tensor) -> Tensor:
        return values if math.isinf(self.dense) else values / (1 + values.abs() / self.dense)

    def forward(self, values: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted sum over variables, [N, H], for `values` and `weights` [V, N]."""
        position = self._warped(values) * self.scale - self.origin
        # clamped after the cast, so that a NaN stays within the table too
        knot = position.long().clamp(0, self.last)
        upper = (position - knot) * weights
        mix = torch.cat([weights - upper, upper]).t()[:, None]  # [N, 1, 2 V]
        rows = (knot + self.first_rows).t()
        vectors = nn.functional.embedding(torch.cat([rows, rows + 1], 1), self.table)
        return (mix @ vectors).squeeze(1)  # of [N, 2 V, H]


def _resampled(line: _Affine, norm: Any) -> _Affine:
    """Return `line` followed by the interpolation and the mask of a ResampleNorm."""
    matrix = cast(Tensor, norm.resample.matrix).double().t()  # [out, in]
    weights = (
        2 * norm.mask.detach().double().sigmoid() if norm.trainable_add else matrix.new_ones(())
    )
    return _Affine((matrix @ line.weight) * weights.reshape(-1, 1), (matrix @ line.bias) * weights)


class _Selection(nn.Module):
    """A VariableSelectionNetwork over real variables, after an optional category."""

    def __init__(self, trained: Any, range_: InputRange, embeddings: Tensor | None = None) -> None:
        super().__init__()
        self.curves = _TabulatedCurves(trained, range_)
        prescalers = [
            trained.prescalers[name] for name in trained.input_sizes if name in trained.prescalers
        ]
        flat = trained.flattened_grn
        embedding = _embedding_map([_affine(p) for p in prescalers], flat.input_size)
        self.first = _Linear([_composed(embedding, _affine(flat.fc1))])
        self.skip = _Linear([_resampled(embedding, flat.resample_norm)])
        self.skip_norm = _Norm([flat.resample_norm.norm])
        self.gate = _GatedUnit([_gate_map(flat)], [flat.gate_norm.add_norm.norm])
        self.context = _Linear([_affine(flat.context)]) if hasattr(flat, "context") else None
        self.category = None if embeddings is None else _Category(trained, embeddings)

    def forward(
        self, values: Tensor, context: Tensor | None, category: Tensor | None = None
    ) -> Tensor:
        """Return the selected vectors [..., B, H] for `values` [V, ..., B]."""
        flat = values.flatten(1)  # [V, N]
        first, skip = self.first(flat), self.skip(flat)
        if context is not None and self.context is not None:
            extra = self.context(context)  # [out, B]
            first = (first.reshape(len(first), *values.shape[1:]) + extra[:, None]).flatten(1)
        if self.category is not None:
            vector, first_share, skip_share = self.category(category)
            first, skip = first + first_share, skip + skip_share
        weights = self.gate(_elu_and_1(first), self.skip_norm(skip))
        weights = (weights - weights.amax(0)).exp()
        weights = weights / weights.sum(0)  # [V, N], the category's first
        if self.category is None:
            selected = self.curves(flat, weights)
        else:
            selected = self.curves(flat, weights[1:]) + (vector * weights[0]).t()
        return cast(Tensor, selected.reshape(*values.shape[1:], -1))


def _embeddings(trained: Any) -> Tensor:
    """Return the embedding table of a transformer's only category, [categories, C]."""
    (table,) = trained.input_embeddings.embeddings.values()
    return cast(Tensor, table.weight)


def _embedding_map(prescalers: Sequence[_Affine], size: int) -> _Affine:
    """Return the map from V numbers to the V embedded variables; a category's channels stay 0."""
    blocks: Any = torch.block_diag
    weight: Tensor = blocks(*[p.weight for p in prescalers])  # [V * C, V]
    bias = torch.cat([p.bias for p in prescalers])
    before = size - len(bias)
    return _Affine(
        torch.cat([weight.new_zeros(before, len(prescalers)), weight]),
        torch.cat([bias.new_zeros(before), bias]),
    )


class _Category(nn.Module):
    """The category's vector, and its contribution to both inputs of the selection weights."""

    table: Tensor

    def __init__(self, trained: Any, embeddings: Tensor) -> None:
        super().__init__()
        flat = trained.flattened_grn
        columns = embeddings.detach().double().t()  # [C, categories]
        norm = next(
            n for k, n in trained.single_variable_grns.items() if k not in trained.prescalers
        )
        vector = norm(columns.float().t()).detach().t().double()  # [H, categories]
        whole = torch.cat(
            [columns, columns.new_zeros(flat.input_size - len(columns), columns.shape[1])]
        )
        skip = _resampled(_Affine(whole, whole.new_zeros(len(whole))), flat.resample_norm).weight
        first = flat.fc1.weight.detach().double() @ whole
        self.sizes = [len(vector), len(first), len(skip)]
        self.register_buffer("table", torch.cat([vector, first, skip]).float().contiguous())

    def forward(self, category: Tensor) -> tuple[Tensor, ...]:
        columns: Any = self.table.index_select(1, category)
        parts: tuple[Tensor, ...] = columns.split(self.sizes)
        return parts


class _Attention(nn.Module):
    """Interpretable multi-head attention without its output layer."""

    key: Tensor
    mask: Tensor

    def __init__(self, trained: Any) -> None:
        super().__init__()
        self.heads, self.size = trained.n_head, trained.d_k
        queries = [_affine(layer) for layer in trained.q_layers]
        scale = trained.d_k**-0.5
        query = _Affine(*(scale * torch.cat(parts) for parts in zip(*queries, strict=True)))
        self.query = _Linear([query])
        # a key's bias shifts all scores of a query equally, which the softmax cancels
        self.register_buffer("key", torch.cat([k.weight.detach() for k in trained.k_layers]))
        self.value = _Linear([_affine(trained.v_layer)])
        ahead = torch.arange(HORIZON_BINS)
        later = (ahead >= ahead[:, None]).float() * _MASKED
        mask = torch.cat([torch.zeros(HORIZON_BINS, CONTEXT_BINS), later], 1)  # [32, 128]
        self.register_buffer("mask", mask)

    def forward(self, steps: Tensor, ahead: Tensor) -> Tensor:
        """Return [B, d, 32] for keys and values `steps` [B, H, 128], queries `ahead` [B, H, 32]."""
        shape = (-1, self.heads, self.size)
        query = self.query(ahead).reshape(*shape, HORIZON_BINS).transpose(2, 3)  # [B, h, 32, d]
        key = (self.key @ steps).reshape(*shape, CONTEXT_BINS + HORIZON_BINS)
        weights = (query @ key + self.mask).softmax(-1).mean(1)  # [B, 32, 128]
        return cast(Tensor, self.value(steps) @ weights.transpose(1, 2))  # [B, d, 32]


def _time_first_lstm(trained: Any) -> nn.LSTM:
    """Return the LSTM for inputs with time as the first axis."""
    lstm = nn.LSTM(trained.input_size, trained.hidden_size)
    lstm.load_state_dict(trained.state_dict())
    return lstm
