"""pytorch-forecasting's transformer once more, written for a CPU: same weights, same mathematics.

What makes it quick: linear layers with nothing nonlinear between are one matrix, channels come
before positions, so that every elementwise step runs over long contiguous rows, and each variable's
own network in a selection, a curve from a number to a vector, is a table made on export.

V variables, H hidden size, C size of an embedded variable, N positions (servers, or bins times
servers), T bins, B servers.
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

__all__ = ["SIGNALS", "InferenceTransformer", "Reach"]

_FORBIDDEN = -1e9  # what pytorch-forecasting adds to the score of a key that may not be looked at


class InferenceTransformer(nn.Module):
    """The prediction of a TemporalFusionTransformer with one categorical, all windows whole.

    `order` says in which order its outputs are wanted.
    """

    def __init__(self, slow: Any, order: Tensor) -> None:
        super().__init__()
        self.static = _Selection(slow.static_variable_selection, SHARES, _embeddings(slow))
        self.encoder = _Selection(slow.encoder_variable_selection, SIGNALS)
        self.decoder = _Selection(slow.decoder_variable_selection, SIGNALS)
        contexts = (
            slow.static_context_variable_selection,
            slow.static_context_initial_hidden_lstm,
            slow.static_context_initial_cell_lstm,
            slow.static_context_enrichment,
        )
        self.contexts = _Residual(contexts)
        self.lstm_encoder = _lstm(slow.lstm_encoder)
        self.lstm_decoder = _lstm(slow.lstm_decoder)
        gate = slow.post_lstm_gate_encoder.fc
        self.after_lstm = _GatedUnit([_affine(gate)], [slow.post_lstm_add_norm_encoder.norm])
        self.enrichment = _Residual([slow.static_enrichment])
        self.attention = _Attention(slow.multihead_attn)
        mixed = _composed(
            _affine(slow.multihead_attn.w_h), _affine(slow.post_attn_gate_norm.glu.fc)
        )
        self.after_attention = _GatedUnit([mixed], [slow.post_attn_gate_norm.add_norm.norm])
        self.feed_forward = _Residual([slow.pos_wise_ff])
        last = slow.pre_output_gate_norm
        self.before_output = _GatedUnit([_affine(last.glu.fc)], [last.add_norm.norm])
        output = _affine(slow.output_layer)
        self.output = _Linear([_Affine(output.weight[order], output.bias[order])])

    def forward(self, past: Tensor, future: Tensor, static: Tensor, profile: Tensor) -> Tensor:
        """Output [B, channels, 32].

        `past` [V, 96, B], `future` [V, 32, B], `static` [V, B], `profile` [B] int64.
        """
        told = self.static(static, None, profile).t()  # [H, B]
        selection, hidden, cell, enrichment = self.contexts(told[None], None).unbind(0)  # [H, B]
        seen = self.encoder(past, selection)  # [96, B, H]
        ahead = self.decoder(future, selection)  # [32, B, H]
        state = (hidden.t()[None], cell.t()[None])  # [1, B, H]
        told_past, state = self.lstm_encoder(seen, state)
        told_ahead, _ = self.lstm_decoder(ahead, state)
        steps = torch.cat([told_past, told_ahead]).permute(1, 2, 0)  # [B, H, 128]
        chosen = torch.cat([seen, ahead]).permute(1, 2, 0)  # [B, H, 128]
        local = self.after_lstm(steps, chosen)  # [B, H, 128]
        rich = self.enrichment(local, enrichment.t()[..., None])  # [B, H, 128]
        recent = rich[..., CONTEXT_BINS:]  # [B, H, 32]
        found = self.after_attention(self.attention(rich, recent), recent)  # [B, H, 32]
        found = self.before_output(self.feed_forward(found, None), local[..., CONTEXT_BINS:])
        return cast(Tensor, self.output(found))


@dataclass(frozen=True, slots=True)
class Reach:
    """Between which values the variables of a selection lie, and into how many pieces a table
    cuts their curves: the shortest are about 0, those at `dense` four times as long."""

    pieces: int
    usual: tuple[float, float]
    others: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    dense: float = math.inf

    def of(self, name: str) -> tuple[float, float]:
        """The least and the greatest value of one variable."""
        return self.others.get(name, self.usual)


# a reading is at most as many mean deviations away as there are readings, and is then squashed
_FARTHEST = math.log1p(CONTEXT_STEPS)
_CLOCK = dict.fromkeys(("day_sin", "day_cos", "week_sin", "week_cos"), (-1.0, 1.0))
SIGNALS = Reach(512, (-_FARTHEST, _FARTHEST), {**_CLOCK, "observed_share": (0.0, 1.0)}, dense=1.5)
SHARES = Reach(CONTEXT_STEPS, (0.0, 1.0))  # so many of 288 steps observed: always a knot


class _Affine(NamedTuple):
    """x to weight @ x + bias, in double precision until it is stored."""

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


def _stored(values: Sequence[Tensor]) -> Tensor:
    """One array of equally shaped ones; a single one without the axis in front."""
    stacked = torch.stack(list(values)) if len(values) > 1 else values[0]
    return stacked.float().contiguous()


class _Linear(nn.Module):
    """Affine maps of channels, [..., in, N] to [..., out, N]; several are stacked in front."""

    weight: Tensor
    bias: Tensor

    def __init__(self, maps: Sequence[_Affine]) -> None:
        super().__init__()
        self.register_buffer("weight", _stored([m.weight for m in maps]))
        self.register_buffer("bias", _stored([m.bias[:, None] for m in maps]))

    def forward(self, values: Tensor) -> Tensor:
        return self.weight @ values + self.bias


class _GatedUnit(nn.Module):
    """Gated linear unit, skip connection and normalisation over channels."""

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
        self.register_buffer("gain", _stored([n.weight.detach()[:, None] for n in norms]))
        self.register_buffer("bias", _stored([n.bias.detach()[:, None] for n in norms]))

    def forward(self, values: Tensor) -> Tensor:
        away = values - values.mean(-2, keepdim=True)
        scale = ((away * away).mean(-2, keepdim=True) + self.eps).rsqrt()
        return away * scale * self.gain + self.bias


def _elu_and_1(values: Tensor) -> Tensor:
    """elu(x) + 1; the 1 is taken back in the bias of the layer that follows."""
    return values.clamp(min=0) + values.clamp(max=0).exp()


def _after_elu(map_: _Affine) -> _Affine:
    """The same map for inputs that are greater by 1."""
    return _Affine(map_.weight, map_.bias - map_.weight.sum(1))


def _gated(network: Any) -> _Affine:
    """From the first layer's elu + 1 to the two halves of the gate of a GatedResidualNetwork."""
    return _after_elu(_composed(_affine(network.fc2), _affine(network.gate_norm.glu.fc)))


class _Residual(nn.Module):
    """GatedResidualNetworks of one size in and out, several stacked in front."""

    def __init__(self, networks: Sequence[Any]) -> None:
        super().__init__()
        self.first = _Linear([_affine(n.fc1) for n in networks])
        self.gate = _GatedUnit(
            [_gated(n) for n in networks], [n.gate_norm.add_norm.norm for n in networks]
        )
        extra = getattr(networks[0], "context", None)
        self.context = _Linear([_affine(extra)]) if extra is not None else None

    def forward(self, values: Tensor, context: Tensor | None) -> Tensor:
        first = self.first(values)
        if context is not None and self.context is not None:
            first = first + self.context(context)
        return cast(Tensor, self.gate(_elu_and_1(first), values))


class _Curves(nn.Module):
    """Each variable's own network in a selection, from a number to a vector, read from a table.

    Between two knots a straight line stands for the curve.
    """

    table: Tensor
    first_rows: Tensor
    scale: Tensor
    origin: Tensor

    def __init__(self, slow: Any, reach: Reach) -> None:
        super().__init__()
        names = [name for name in slow.input_sizes if name in slow.prescalers]
        bounds = torch.tensor([reach.of(name) for name in names]).double()
        self.dense = reach.dense
        low, high = self._bent(bounds).unbind(1)
        self.last = reach.pieces - 1
        knots = torch.linspace(0, 1, reach.pieces + 1, dtype=torch.float64)
        places = low[:, None] + (high - low)[:, None] * knots  # [V, knots]
        places = places / (1 - places.abs() / self.dense)
        exact = deepcopy(slow).eval().double()
        with torch.no_grad():
            curves = [
                exact.single_variable_grns[name](exact.prescalers[name](column[:, None]))
                for name, column in zip(names, places, strict=True)
            ]  # each [knots, H]
        self._keep("table", torch.cat(curves).float())
        self._keep("first_rows", torch.arange(len(names))[:, None] * len(knots))
        scale = reach.pieces / (high - low)
        self._keep("scale", scale.float()[:, None])
        self._keep("origin", (low * scale).float()[:, None])

    def _keep(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values.contiguous())

    def _bent(self, values: Tensor) -> Tensor:
        return values if math.isinf(self.dense) else values / (1 + values.abs() / self.dense)

    def forward(self, values: Tensor, weights: Tensor) -> Tensor:
        """Sum over variables of weight times vector, [N, H], for `values` and `weights` [V, N]."""
        place = self._bent(values) * self.scale - self.origin
        # after the cast, so that not even a NaN leads out of the table
        knot = place.long().clamp(0, self.last)
        upper = (place - knot) * weights
        mix = torch.cat([weights - upper, upper]).t()[:, None]  # [N, 1, 2 V]
        rows = (knot + self.first_rows).t()
        found = nn.functional.embedding(torch.cat([rows, rows + 1], 1), self.table)
        return (mix @ found).squeeze(1)  # of [N, 2 V, H]


def _resampled(line: _Affine, norm: Any) -> _Affine:
    """`line`'s channels interpolated and weighted as a ResampleNorm does before it normalises."""
    matrix = cast(Tensor, norm.resample.matrix).double().t()  # [out, in]
    weights = (
        2 * norm.mask.detach().double().sigmoid() if norm.trainable_add else matrix.new_ones(())
    )
    return _Affine((matrix @ line.weight) * weights.reshape(-1, 1), (matrix @ line.bias) * weights)


class _Selection(nn.Module):
    """A VariableSelectionNetwork over real variables, behind an optional category."""

    def __init__(self, slow: Any, reach: Reach, embeddings: Tensor | None = None) -> None:
        super().__init__()
        self.curves = _Curves(slow, reach)
        prescalers = [slow.prescalers[name] for name in slow.input_sizes if name in slow.prescalers]
        flat = slow.flattened_grn
        spread = _spread([_affine(p) for p in prescalers], flat.input_size)
        self.first = _Linear([_composed(spread, _affine(flat.fc1))])
        self.skip = _Linear([_resampled(spread, flat.resample_norm)])
        self.skip_norm = _Norm([flat.resample_norm.norm])
        self.gate = _GatedUnit([_gated(flat)], [flat.gate_norm.add_norm.norm])
        self.context = _Linear([_affine(flat.context)]) if hasattr(flat, "context") else None
        self.category = None if embeddings is None else _Category(slow, embeddings)

    def forward(
        self, values: Tensor, context: Tensor | None, category: Tensor | None = None
    ) -> Tensor:
        """[V, ..., B] to [..., B, H]."""
        flat = values.flatten(1)  # [V, N]
        first, skip = self.first(flat), self.skip(flat)
        if context is not None and self.context is not None:
            extra = self.context(context)  # [out, B]
            first = (first.reshape(len(first), *values.shape[1:]) + extra[:, None]).flatten(1)
        if self.category is not None:
            known, more, further = self.category(category)
            first, skip = first + more, skip + further
        weights = self.gate(_elu_and_1(first), self.skip_norm(skip))
        weights = (weights - weights.amax(0)).exp()
        weights = weights / weights.sum(0)  # [V, N], the category's first
        if self.category is None:
            chosen = self.curves(flat, weights)
        else:
            chosen = self.curves(flat, weights[1:]) + (known * weights[0]).t()
        return cast(Tensor, chosen.reshape(*values.shape[1:], -1))


def _embeddings(slow: Any) -> Tensor:
    """Of the one category that a transformer knows, [categories, C]."""
    (table,) = slow.input_embeddings.embeddings.values()
    return cast(Tensor, table.weight)


def _spread(prescalers: Sequence[_Affine], size: int) -> _Affine:
    """From V numbers to the V embedded variables side by side; a category's place stays 0."""
    blocks: Any = torch.block_diag
    weight: Tensor = blocks(*[p.weight for p in prescalers])  # [V * C, V]
    bias = torch.cat([p.bias for p in prescalers])
    before = size - len(bias)
    return _Affine(
        torch.cat([weight.new_zeros(before, len(prescalers)), weight]),
        torch.cat([bias.new_zeros(before), bias]),
    )


class _Category(nn.Module):
    """What the category contributes: its vector, and its share in both inputs of the weights."""

    table: Tensor

    def __init__(self, slow: Any, embeddings: Tensor) -> None:
        super().__init__()
        flat = slow.flattened_grn
        columns = embeddings.detach().double().t()  # [C, categories]
        norm = next(n for k, n in slow.single_variable_grns.items() if k not in slow.prescalers)
        vector = norm(columns.float().t()).detach().t().double()  # [H, categories]
        whole = torch.cat(
            [columns, columns.new_zeros(flat.input_size - len(columns), columns.shape[1])]
        )
        skip = _resampled(_Affine(whole, whole.new_zeros(len(whole))), flat.resample_norm).weight
        first = flat.fc1.weight.detach().double() @ whole
        self.sizes = [len(vector), len(first), len(skip)]
        self.register_buffer("table", torch.cat([vector, first, skip]).float().contiguous())

    def forward(self, category: Tensor) -> tuple[Tensor, ...]:
        found: Any = self.table.index_select(1, category)
        parts: tuple[Tensor, ...] = found.split(self.sizes)
        return parts


class _Attention(nn.Module):
    """Interpretable attention, before its output layer: [B, H, 128] and queries [B, H, 32]."""

    key: Tensor
    mask: Tensor

    def __init__(self, slow: Any) -> None:
        super().__init__()
        self.heads, self.size = slow.n_head, slow.d_k
        queries = [_affine(layer) for layer in slow.q_layers]
        scale = slow.d_k**-0.5
        query = _Affine(*(scale * torch.cat(parts) for parts in zip(*queries, strict=True)))
        self.query = _Linear([query])
        # a key's bias moves all scores of a query alike: nothing remains of it after the softmax
        self.register_buffer("key", torch.cat([k.weight.detach() for k in slow.k_layers]))
        self.value = _Linear([_affine(slow.v_layer)])
        ahead = torch.arange(HORIZON_BINS)
        later = (ahead >= ahead[:, None]).float() * _FORBIDDEN
        mask = torch.cat([torch.zeros(HORIZON_BINS, CONTEXT_BINS), later], 1)  # [32, 128]
        self.register_buffer("mask", mask)

    def forward(self, steps: Tensor, recent: Tensor) -> Tensor:
        shape = (-1, self.heads, self.size)
        query = self.query(recent).reshape(*shape, HORIZON_BINS).transpose(2, 3)  # [B, h, 32, d]
        key = (self.key @ steps).reshape(*shape, CONTEXT_BINS + HORIZON_BINS)
        looks = (query @ key + self.mask).softmax(-1).mean(1)  # [B, 32, 128]
        return cast(Tensor, self.value(steps) @ looks.transpose(1, 2))  # [B, d, 32]


def _lstm(slow: Any) -> nn.LSTM:
    """The same LSTM with time in front of servers."""
    swift = nn.LSTM(slow.input_size, slow.hidden_size)
    swift.load_state_dict(slow.state_dict())
    return swift
