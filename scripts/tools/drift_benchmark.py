"""Drift benchmark: false checks on unchanged simulated fleets, and hours until a change is seen.

`python -m scripts.tools.drift_benchmark --cache DIR` simulates fleets, forecasts them each hour
with the shipped model, sums the losses by hour as the table `scores` does, and runs the check of
`functions.rules.drift` each hour. Losses are kept in DIR, so that a second run takes seconds.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from functions.engine.forecaster import Forecaster
from functions.simulator.simulated_fleet import make_fleet
from functions.simulator.simulated_series import simulate
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, QUANTILES, STEP
from storage.model.metrics import METRICS
from storage.model.profiles import PROFILE_NAMES

__all__ = ["CHANGES", "Losses", "hour_losses", "values_of"]

Floats = NDArray[np.float32]

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
DAY_STEPS = 288
HOUR_STEPS = 12
WARM_DAYS = 2  # before the first forecast
SEED = 4711


class Losses(NamedTuple):
    """Sums by server, metric and hour of the targets, from the hour of `first` on."""

    loss: NDArray[np.float64]  # [S, 14, H]
    targets: NDArray[np.float64]  # [S, 14, H]


def _scaled(values: Floats, step: int) -> Floats:
    changed = values.copy()
    for place, metric in enumerate(METRICS):
        if metric.kind != "counter":
            low, high = metric.bounds
            changed[:, step:, place] = np.clip(2 * values[:, step:, place], low, high)
    return changed


def _rotated(values: Floats, step: int) -> Floats:
    """The load of the next server of another profile; uptime stays."""
    changed = values.copy()
    keep = [place for place, metric in enumerate(METRICS) if metric.kind == "counter"]
    changed[:, step:] = np.roll(values, 1, axis=0)[:, step:]
    changed[..., keep] = values[..., keep]
    return changed


def _shifted(values: Floats, step: int) -> Floats:
    changed = values.copy()
    changed[:, step:] = values[:, step - 72 : -72]
    keep = [place for place, metric in enumerate(METRICS) if metric.kind == "counter"]
    changed[..., keep] = values[..., keep]
    return changed


def _noisy(values: Floats, step: int) -> Floats:
    random = np.random.default_rng(1)
    changed = values.copy()
    spread = np.nanstd(values[:, :step], axis=1, keepdims=True)
    noise = random.normal(size=values[:, step:].shape).astype(np.float32) * spread
    for place, metric in enumerate(METRICS):
        if metric.kind != "counter":
            low, high = metric.bounds
            noisy = values[:, step:, place] + noise[..., place]
            changed[:, step:, place] = np.clip(noisy, low, high)
    return changed


Change = Callable[[Floats, int], Floats]
CHANGES: dict[str, tuple[str, Change | None]] = {
    "nothing, healthy": ("healthy", None),
    "nothing, mixed": ("mixed", None),
    "clock 6 h later": ("healthy", _shifted),
    "scale x 2": ("healthy", _scaled),
    "scale x 2, mixed": ("mixed", _scaled),
    "new workload": ("healthy", _rotated),
    "new workload, mixed": ("mixed", _rotated),
    "noise": ("healthy", _noisy),
}


def values_of(
    scenario: str, servers: int, days: int, seed: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Return 5-minute means [S, T, 14] of a simulated fleet, and the places of its profiles."""
    fleet = make_fleet(servers, seed)
    times = int(START.timestamp()) + 60 * np.arange(days * 1440, dtype=np.int64)
    timeline = [(START - timedelta(days=30), scenario)]
    samples = simulate(fleet, times, timeline, seed)
    means = samples.reshape(servers, -1, 5, len(METRICS)).mean(2)
    return means, np.array([PROFILE_NAMES.index(s.profile) for s in fleet])


def hour_losses(
    model: Forecaster, values: Floats, profiles: NDArray[np.int64], every_steps: int
) -> Losses:
    """Return the losses of forecasts issued each `every_steps`, from day WARM_DAYS on."""
    servers, steps, metrics = values.shape
    hours = steps // HOUR_STEPS
    loss = np.zeros((servers, metrics, hours))
    count = np.zeros((servers, metrics, hours))
    levels = np.array(QUANTILES, np.float32)
    for origin in range(WARM_DAYS * DAY_STEPS, steps, every_steps):
        context = values[:, origin - CONTEXT_STEPS : origin]
        made = model.predict(context, START + (origin - CONTEXT_STEPS) * STEP, profiles).quantiles
        truth = values[:, origin : origin + HORIZON_STEPS, :, None]
        miss = truth - made[:, : truth.shape[1]]
        pinball = np.maximum(levels * miss, (levels - 1) * miss).sum(-1) * (2 / 7)  # [S, L, 14]
        known = np.isfinite(pinball)
        at = (origin + np.arange(truth.shape[1])) // HOUR_STEPS
        np.add.at(loss.transpose(2, 0, 1), at, np.where(known, pinball, 0).transpose(1, 0, 2))
        np.add.at(count.transpose(2, 0, 1), at, known.transpose(1, 0, 2))
    return Losses(loss, count)
