"""Drift benchmark: false checks on unchanged simulated fleets, and hours until a change is seen.

`python -m scripts.tools.drift_benchmark --cache DIR` simulates fleets, forecasts them each hour
with the shipped model, sums the losses by hour as the table `scores` does, and runs the check of
`functions.rules.drift` each hour. Losses are kept in DIR, so that a second run takes seconds.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.rules.drift.loss_check import HISTORY_HOURS, check_losses, next_count
from functions.rules.drift.training_due import Check, loss_is_high
from functions.simulator.simulated_fleet import make_fleet
from functions.simulator.simulated_series import simulate
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, QUANTILES, STEP
from storage.model.metrics import METRICS
from storage.model.profiles import PROFILE_NAMES

__all__ = ["CHANGES", "Losses", "Result", "checked", "hour_losses", "values_of"]

Floats = NDArray[np.float32]

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
DAY_STEPS = 288
HOUR_STEPS = 12
DAYS, CHANGE_DAY = 20, 12
WARM_DAYS = 2  # before the first forecast


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


class Result(NamedTuple):
    """Checks of one fleet before its change: made, over the limit, drifting.

    `found_h` and `due_h` are the hours from the change to the drift and to a training.
    """

    name: str
    seed: int
    checks: int
    over: int
    drifting: int
    worst_lower: float
    found_h: int | None
    due_h: int | None


def checked(losses: Losses, name: str, seed: int, changes: bool) -> Result:
    """Run the hourly check over the losses of a fleet that changes on day CHANGE_DAY, or never."""
    mean = np.divide(
        losses.loss, losses.targets,
        out=np.full(losses.loss.shape, np.nan), where=losses.targets > 0,
    ).transpose(0, 2, 1)  # fmt: skip
    everyone = np.ones(len(mean), np.bool_)
    first = int(START.timestamp()) // 3600
    change = CHANGE_DAY * 24
    count, made = 0, []
    for hour in range(WARM_DAYS * 24 + 1, mean.shape[1] + 1):
        begin = max(WARM_DAYS * 24, hour - HISTORY_HOURS)
        servers = check_losses(mean[:, begin:hour], first + begin)
        if servers is None:
            continue
        check = servers.group(everyone)
        count, drifting = next_count(count, check)
        if check.known:
            made.append((hour, check, drifting))
    quiet = [(c, drifting) for hour, c, drifting in made if not changes or hour <= change]
    found = [hour - change for hour, _, drifting in made if drifting and hour > change]
    checks = [Check(START + timedelta(hours=hour), drifting) for hour, _, drifting in made]
    due = [
        hour - change for hour, _, _ in made
        if loss_is_high(START + timedelta(hours=hour), checks)
    ]  # fmt: skip
    return Result(
        name, seed, len(quiet), sum(c.over for c, _ in quiet), sum(d for _, d in quiet),
        max(c.lower for c, _ in quiet), found[0] if changes and found else None,
        due[0] if due else None,
    )  # fmt: skip


def losses_of(cache: Path, name: str, servers: int, seed: int, every_steps: int) -> Losses:
    """Return the losses of one fleet, from the cache where it has them."""
    label = name.replace(",", "").replace(" ", "_")
    path = cache / f"drift_{label}_{servers}x{DAYS}_{every_steps * 5}m_s{seed}.npz"
    if path.exists():
        kept = np.load(path)
        return Losses(kept["loss"], kept["targets"])
    scenario, change = CHANGES[name]
    values, profiles = values_of(scenario, servers, DAYS, seed)
    if change is not None:
        values = change(values, CHANGE_DAY * DAY_STEPS)
    losses = hour_losses(Forecaster.open(SHIPPED), values, profiles, every_steps)
    draft = path.with_name(f"draft-{path.name}")
    np.savez_compressed(draft, loss=losses.loss, targets=losses.targets)
    draft.rename(path)
    return losses


@click.command()
@click.option("--cache", required=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--servers", default=20, show_default=True)
@click.option("--seed", "seeds", multiple=True, type=int, default=(4711, 815), show_default=True)
@click.option("--every", "minutes", default=60, show_default=True, help="Minutes between issues.")
@click.option("--only", multiple=True, help="Only these: such as 'scale x 2'.")
def main(
    cache: Path, servers: int, seeds: tuple[int, ...], minutes: int, only: tuple[str, ...]
) -> None:
    """Print for each fleet its checks, those over the limit, and after how many hours it drifts."""
    cache.mkdir(parents=True, exist_ok=True)
    click.echo(f"{'fleet':22} {'seed':>5} checks over drift  worst lower  found, due after [h]")
    for name, (_, change) in CHANGES.items():
        if only and name not in only:
            continue
        for seed in seeds:
            losses = losses_of(cache, name, servers, seed, minutes // 5)
            r = checked(losses, name, seed, change is not None)
            hours = ", ".join("-" if h is None else str(h) for h in (r.found_h, r.due_h))
            click.echo(
                f"{r.name:22} {r.seed:5} {r.checks:6} {r.over:4} {r.drifting:5} "
                f"{r.worst_lower:12.3f} {hours:>10}"
            )


if __name__ == "__main__":
    main()
