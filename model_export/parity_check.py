"""Parity check: torch and onnxruntime must agree on windows chosen to expose differences."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from model_export.card import pack_array
from model_export.network import ForecastNetwork
from model_export.scaling import SPREAD_FLOOR, ranked, slopes
from storage.errors import HoursightError
from storage.model.grid import CONTEXT_STEPS
from storage.model.metrics import METRICS
from storage.model.profiles import PROFILE_NAMES

__all__ = [
    "BATCHES",
    "PARITY_SIGMA",
    "ParityError",
    "awkward_windows",
    "fixture",
    "onnx_forecast",
    "parity",
    "spreads",
    "torch_forecast",
]

BATCHES = (1, 7, 64, 513)
# The tabulated curves cause this much; without them the difference is 3e-5, and torch itself
# differs by 9e-5 when a reading changes in its last digit.
PARITY_SIGMA = 1e-3
_FIXTURE_LEADS = slice(11, None, 12)  # the last 5 minutes of each hour: 8 of 96 leads

Array = NDArray[np.float32]


class ParityError(HoursightError, AssertionError):
    """Raised when the exported graph and torch differ; the message says by how much."""


@dataclass(frozen=True, slots=True)
class _Inputs:
    context: Array
    week_minute: Array
    profile: NDArray[np.int64]


def awkward_windows(count: int, seed: int) -> _Inputs:
    """Return `count` windows with gaps, spikes, flat series, short histories, missing metrics."""
    random = np.random.default_rng(seed)
    shape = (count, CONTEXT_STEPS, len(METRICS))
    walk = random.normal(size=shape).cumsum(1) + 5 * random.normal(size=shape)
    level = random.uniform(5, 90, (count, 1, len(METRICS)))
    context = np.clip(level + walk * random.uniform(0.01, 2, (count, 1, 1)), 0, 100)
    context[:, :, -1] = random.uniform(0, 400) + np.arange(CONTEXT_STEPS) / 288
    kinds = np.arange(count) % 6
    flat = random.random((count, len(METRICS))) < 0.2
    context = np.where(flat[:, None], level, context)
    spike = (kinds == 1)[:, None, None] & (random.random(shape) < 0.01)
    context = np.where(spike, 100.0, context)
    gaps = (kinds == 2)[:, None, None] & (random.random((count, CONTEXT_STEPS, 1)) < 0.4)
    begin = random.integers(0, CONTEXT_STEPS - 4, (count, 1, 1))
    short = (kinds == 3)[:, None, None] & (np.arange(CONTEXT_STEPS)[None, :, None] < begin)
    blind = (kinds == 4)[:, None, None] & (random.random((count, 1, len(METRICS))) < 0.4)
    context[np.broadcast_to(gaps | short | blind, shape)] = np.nan
    # float16 and back: the card stores the windows as float16 without loss
    return _Inputs(
        context.astype(np.float16).astype(np.float32),
        random.uniform(0, 10_080, count).astype(np.float32),
        random.integers(len(PROFILE_NAMES), size=count),
    )


def onnx_forecast(model: Path, batch: int = 32) -> Callable[..., Array]:
    """Return a function of (context, week_minute, profile) that runs the ONNX file `model`.

    It computes `batch` windows at a time and returns quantiles [n, 96, 14, 7].
    """
    session = _session(model)

    def forecast(context: Array, week_minute: Array, profile: NDArray[np.int64]) -> Array:
        parts = [slice(i, i + batch) for i in range(0, len(context), batch)]
        return np.concatenate(
            [_run(session, context[part], week_minute[part], profile[part]) for part in parts]
        )

    return forecast


def torch_forecast(network: ForecastNetwork, batch: int = 64) -> Callable[..., Array]:
    """Return a function of (context, week_minute, profile) that runs `network` in torch.

    It computes `batch` windows at a time and returns quantiles [n, 96, 14, 7].
    """
    network.eval()
    device = next(network.parameters()).device

    def forecast(context: Array, week_minute: Array, profile: NDArray[np.int64]) -> Array:
        inputs = [torch.from_numpy(v).to(device) for v in (context, week_minute, profile)]
        parts = [slice(i, i + batch) for i in range(0, len(context), batch)]
        with torch.no_grad():
            return np.concatenate([network(*(v[p] for v in inputs)).cpu().numpy() for p in parts])

    return forecast


def parity(network: ForecastNetwork, model: Path) -> Mapping[str, float]:
    """Return the largest difference between `network` and `model` by batch size, in window σ.

    Raise ParityError if one exceeds 1e-3.
    """
    session = _session(model)
    differences = {str(size): _difference(network, session, size) for size in BATCHES}
    if max(differences.values()) > PARITY_SIGMA:
        listed = ", ".join(f"batch {size}: {worst:.2e} σ" for size, worst in differences.items())
        raise ParityError(
            f"{model}: torch and onnxruntime differ by more than {PARITY_SIGMA} σ ({listed})",
            "do not use this file, and check that its exporter supports the installed torch",
        )
    return differences


def spreads(context: Array) -> Array:
    """Return the standard deviation of each metric in `context` [n, 288, 14], floored, [n, 14].

    As in `scaling.scale`, the growth of uptime is subtracted first, and SPREAD_FLOOR applies.
    """
    level = context - np.arange(CONTEXT_STEPS, dtype=np.float32)[:, None] * slopes().numpy()
    known = (~np.isnan(level)).sum(1)  # [n, 14]
    safe = np.where(known[:, None] > 0, level, 0)
    floor = SPREAD_FLOOR * (np.abs(np.nanmean(safe, axis=1)) + SPREAD_FLOOR)
    return np.asarray(np.maximum(np.nanstd(safe, axis=1), floor), np.float32)


def fixture(model: Path) -> dict[str, Any]:
    """Return six windows and the model's forecasts for them, packed, for a self-test on opening."""
    inputs = awkward_windows(6, seed=6)
    quantiles = _run(_session(model), inputs.context, inputs.week_minute, inputs.profile)
    return {
        "context": pack_array(inputs.context.astype(np.float16)),
        "week_minute": pack_array(inputs.week_minute),
        "profile": pack_array(inputs.profile),
        "leads": [_FIXTURE_LEADS.start, _FIXTURE_LEADS.step],
        "quantiles": pack_array(quantiles[:, _FIXTURE_LEADS]),
        "sigma": pack_array(spreads(inputs.context)),
    }


def _difference(
    network: ForecastNetwork, session: onnxruntime.InferenceSession, size: int
) -> float:
    inputs = awkward_windows(size, seed=size)
    with torch.no_grad():
        expected = network.eval()(
            torch.from_numpy(inputs.context),
            torch.from_numpy(inputs.week_minute),
            torch.from_numpy(inputs.profile),
        ).numpy()
    actual = _run(session, inputs.context, inputs.week_minute, inputs.profile)
    if (np.isnan(expected) != np.isnan(actual)).any():
        return float("inf")
    sigma = spreads(inputs.context)[:, None, :, None]  # [n, 1, 14, 1]
    # one float32 step is allowed: for a flat series at 9 it is already 1.2e-4 σ
    excess = np.maximum(np.abs(expected - actual) - np.spacing(np.abs(expected)), 0)
    return float(np.nanmax(excess / sigma))


def _session(model: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _run(
    session: onnxruntime.InferenceSession,
    context: Array,
    week_minute: Array,
    profile: NDArray[np.int64],
) -> Array:
    inputs = {
        "context": context,
        "ranked": ranked(context),
        "week_minute": week_minute,
        "profile": profile,
    }
    return np.asarray(session.run(None, inputs)[0])
