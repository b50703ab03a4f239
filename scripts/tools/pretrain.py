"""Pretraining: makes the shipped model from public datasets, the simulator and synthetic fleets.

    python -m scripts.tools.pretrain --real DIR [--out FILE] [--steps N | --minutes M] [--from FILE]

DIR holds smd.parquet, asd.parquet and jumpstarter.parquet. Every fourth server of each and the
last 4.7 days of all are never trained on; the held-out servers' last days give the scores that
are printed and written into the model's card.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functions.rules.evaluation.scoring import (
    HELD_OUT_STEPS,
    Array,
    Forecasting,
    ScoredWindows,
    baselines,
    geometric,
    held_out_windows,
    score,
    score_by_metric,
)
from functions.simulator.simulated_fleet import make_fleet
from functions.simulator.simulated_series import simulate
from model_export.calibration import calibrate
from model_export.export import SHIPPED, export
from model_export.network import ForecastNetwork, Shape
from model_export.parity_check import onnx_forecast, torch_forecast
from model_export.train import (
    ENDLESS,
    Checkpoint,
    EarlyStopping,
    Recipe,
    load_checkpoint,
    save_checkpoint,
    train,
)
from model_export.training_windows import Corpus
from scripts.tools.datasets import DATASETS, as_named, as_shapes, read_set, split
from scripts.tools.synthetic import synthetic_fleet
from storage.model.grid import STEP_MINUTES
from storage.model.metrics import GROUPS, METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES
from storage.query.history import History

SHUFFLES = 4  # orders in which nameless columns are put in the places of metrics
SIMULATED_SERVERS, SIMULATED_DAYS = 100, 21
_VALIDATION_WEIGHTS = {"smd": 0.5, "asd": 0.25, "jumpstarter": 0.25}  # in the loss that stops early
HELD_OUT_SERVERS = 20  # a simulated fleet of another seed; its rack of 20 has every profile
SIMULATED_FROM = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday

# Shares of training windows: most from SMD, whose metrics differ most in behaviour; enough from the
# simulator for the metrics that no public dataset has.
NAMED_SHARE = {"smd": 0.20, "asd": 0.0, "jumpstarter": 0.12}
SHAPES_SHARE = {"smd": 0.20, "asd": 0.13, "jumpstarter": 0.10}
SYNTHETIC_SHARE, SYNTHETIC_SERVERS, SYNTHETIC_DAYS = 0.10, 150, 15
# Name, (samples per step, calm), share: roll-ups are means, a sparse source has single samples.
SIMULATIONS = (
    ("simulator, means", (5, True), 0.07),
    ("simulator, single samples", (1, True), 0.04),
    ("simulator, scenarios", (5, False), 0.04),
)


def simulated(servers: int, days: int, seed: int, samples: int, calm: bool = True) -> History:
    """Return `days` of a simulated fleet; each step is the mean of `samples` samples.

    A calm fleet has the usual mix of incidents; another one changes its scenario every 6 h.
    """
    fleet = make_fleet(servers, seed)
    start_s = int(SIMULATED_FROM.timestamp())
    steps = days * 24 * 60 // STEP_MINUTES
    seconds = start_s + np.arange(steps * samples) * (STEP_MINUTES * 60 // samples)
    simulated_values = simulate(fleet, seconds, _timeline(days, calm), seed)
    values = simulated_values.reshape(servers, steps, samples, -1).mean(2)
    profiles = np.array([PROFILE_NAMES.index(s.profile) for s in fleet], np.int64)
    return History(tuple(s.name for s in fleet), profiles, start_s, values)


def _timeline(days: int, calm: bool) -> list[tuple[datetime, str]]:
    if calm:
        return [(SIMULATED_FROM, "mixed")]
    scenarios = ("mixed", "degrading", "mixed", "critical", "mixed", "cascade")
    return [
        (SIMULATED_FROM + timedelta(hours=6 * i), scenarios[i % len(scenarios)])
        for i in range(4 * days)
    ]


def corpora(real: Path, seed: int, without: str = "") -> list[Corpus]:
    """Return the training data, without held-out servers, the last 4.7 days, or `without`."""
    random = np.random.default_rng(seed)
    result = [
        Corpus(name, simulated(SIMULATED_SERVERS, SIMULATED_DAYS, seed, *how), share)
        for name, how, share in SIMULATIONS
    ]
    made = synthetic_fleet(SYNTHETIC_SERVERS, SYNTHETIC_DAYS, seed)
    result.append(Corpus("synthetic", made, SYNTHETIC_SHARE, False, nameless=True))
    for source in DATASETS:
        if source.name == without:
            continue
        learned, _ = split(read_set(real, source.name))
        if source.named:
            named = as_named(learned, source).before(-HELD_OUT_STEPS)
            share = NAMED_SHARE[source.name]
            result.append(Corpus(source.name, named, share, False, source.licence))
        shuffled = [h for _ in range(SHUFFLES) for h in as_shapes(learned, random)]
        share = SHAPES_SHARE[source.name] / len(shuffled)
        result += [
            Corpus(f"{source.name}, shapes", shapes, share, False, source.licence, nameless=True)
            for shapes in (h.before(-HELD_OUT_STEPS) for h in shuffled)
        ]
    return result


def held_out(real: Path, seed: int) -> dict[str, list[History]]:
    """Return the histories to score on: servers and days that are in no corpus."""
    sets = {"simulator": [simulated(HELD_OUT_SERVERS, SIMULATED_DAYS, seed + 1, 5)]}
    for source in DATASETS:
        _, unseen = split(read_set(real, source.name))
        if source.named:
            sets[source.name] = [as_named(unseen, source)]
        sets[f"{source.name}, all columns"] = as_shapes(unseen)
    return sets


def calibration_windows(real: Path, seed: int) -> tuple[list[ScoredWindows], list[ScoredWindows]]:
    """Return the windows to calibrate the bands with: all, and those whose metrics are named.

    They are the last 4.7 days of servers in the training data, and the days before of the others.
    """
    named = [held_out_windows(simulated(HELD_OUT_SERVERS, SIMULATED_DAYS, seed, 5))]
    shapes = []
    for source in DATASETS:
        learned, unseen = split(read_set(real, source.name))
        before = [h.before(-HELD_OUT_STEPS) for h in as_shapes(unseen)]
        shapes += [held_out_windows(*as_shapes(learned)), held_out_windows(*before)]
        if source.named:
            earlier = as_named(unseen, source).before(-HELD_OUT_STEPS)
            named += [held_out_windows(as_named(learned, source)), held_out_windows(earlier)]
    return named + shapes, named


def scores(
    candidates: Mapping[str, Forecasting], sets: Mapping[str, Sequence[History]]
) -> dict[str, Any]:
    """Return loss, error of the median and coverage of each candidate on each held-out set."""
    table: dict[str, Any] = {}
    for name, histories in sets.items():
        windows = held_out_windows(*histories)
        table[name] = {"windows": len(windows.context), "anomalous": int(windows.anomalous.sum())}
        for candidate, forecast in candidates.items():
            quantiles = forecast(windows.context, windows.week_minute, windows.profile)
            for part, chosen in _parts(candidate, windows).items():
                of_part = score(quantiles, windows, chosen)
                table[name][part] = _rounded(
                    of_part.loss, of_part.error, of_part.inside, of_part.inside_96
                )
                _print(f"{name:26} {part:18} {of_part}")
            if candidate == "model" and "all columns" not in name:
                table[f"{name}, bands"] = _per_group(quantiles, windows)
            if (name, candidate) == ("simulator", "model"):
                table["simulator, per metric"] = _per_metric(quantiles, windows)
    return table


def _parts(candidate: str, windows: ScoredWindows) -> dict[str, NDArray[np.bool_] | None]:
    """Return which windows to score: all; for the model also those with and without anomalies."""
    marks = windows.anomalous
    parts: dict[str, NDArray[np.bool_] | None] = {candidate: None}
    if candidate == "model" and marks.any() and not marks.all():
        parts |= {"… anomalous": marks, "… calm": ~marks}
    return parts


def _per_group(quantiles: Array, windows: ScoredWindows) -> dict[str, list[float]]:
    """Return the coverage of the 80 and 96 % bands, by group of metrics."""
    by = score_by_metric(quantiles, windows)
    groups = {
        name: by.over([METRIC_NAMES.index(m) for m in group]) for name, group in GROUPS.items()
    }
    coverage = {name: _rounded(s.inside, s.inside_96) for name, s in groups.items() if s.series}
    _print(f"  {coverage}")
    return coverage


def _per_metric(quantiles: Array, windows: ScoredWindows) -> dict[str, list[float]]:
    by = score_by_metric(quantiles, windows)
    table = {}
    for place, metric in enumerate(METRIC_NAMES):
        scored = ~np.isnan(by.loss[:, place])
        if scored.any():
            loss, error = (geometric(x[scored, place]) for x in (by.loss, by.error))
            table[metric] = _rounded(loss, error, by.inside[scored, place].mean())
            _print(f"  {metric:24} {table[metric]}")
    return table


def _rounded(*numbers: float) -> list[float]:
    return [round(float(number), 3) for number in numbers]


def _print(line: str) -> None:
    print(line, flush=True)


def validation(real: Path) -> dict[str, ScoredWindows]:
    """Return the held-out servers' days before the last 4.7, which decide on early stopping."""
    sets = {}
    for source in DATASETS:
        _, unseen = split(read_set(real, source.name))
        histories = as_shapes(unseen) + ([as_named(unseen, source)] if source.named else [])
        before = [h.before(-HELD_OUT_STEPS) for h in histories]
        sets[source.name] = held_out_windows(*before)
    return sets


def _validation_loss(real: Path) -> Callable[[ForecastNetwork], float]:
    sets = validation(real)

    def loss(network: ForecastNetwork) -> float:
        forecast = torch_forecast(network)
        by_set = {
            name: score(forecast(part.context, part.week_minute, part.profile), part)
            for name, part in sets.items()
        }
        _print("  ".join(f"{name} {each}" for name, each in by_set.items()))
        logs = (_VALIDATION_WEIGHTS[name] * np.log(each.loss) for name, each in by_set.items())
        return float(np.exp(sum(logs)))

    return loss


def _log(done: int, total: int, loss: float, left_s: float) -> None:
    if done % 200 == 0 or done == total:
        _print(f"step {done} of {total}  loss {loss:.4f}  {left_s / 60:.1f} min left")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, calibrate, export, verify and score."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    options = _arguments(arguments)
    began = time.monotonic()
    checkpoint = _trained(options)
    factors = calibrate(checkpoint.network, *calibration_windows(options.real, options.seed))
    if options.checkpoint:
        save_checkpoint(checkpoint, options.checkpoint)
    _print(
        f"trained after {(time.monotonic() - began) / 60:.1f} min; bands widened by "
        f"{factors.min():.2f} to {factors.max():.2f}, {factors.mean((0, 1)).round(3)}"
    )
    if options.without_transformer or options.without:
        scores({"model": torch_forecast(checkpoint.network)}, held_out(options.real, options.seed))
    else:
        _publish(checkpoint, options)
    _print(f"{(time.monotonic() - began) / 60:.1f} min in all")
    return 0


def _trained(options: argparse.Namespace) -> Checkpoint:
    if options.checkpoint and options.checkpoint.exists():
        return load_checkpoint(options.checkpoint)
    steps = ENDLESS if options.minutes else options.steps
    recipe = Recipe(steps, options.batch, options.rate, seed=options.seed, minutes=options.minutes)
    keep = options.checkpoint and options.checkpoint.with_suffix(".progress")
    return train(
        corpora(options.real, options.seed, options.without),
        recipe,
        Shape(transformer=not options.without_transformer),
        start=load_checkpoint(options.start) if options.start else None,
        on_progress=_log,
        early_stopping=EarlyStopping(_validation_loss(options.real), every=400, patience=1_000),
        progress_file=keep,
    )


def _publish(checkpoint: Checkpoint, options: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    long = "steps" if options.minutes is None else "minutes"
    command = (
        "python -m scripts.tools.pretrain --real DIR "
        + " ".join(f"--{name} {getattr(options, name)}" for name in (long, "batch", "rate", "seed"))
        + (" --from FILE" if options.start else "")
    )
    export(checkpoint, options.out, now, command=command)
    candidates = {"model": onnx_forecast(options.out), **baselines()}
    table = scores(candidates, held_out(options.real, options.seed))
    card = export(checkpoint, options.out, now, table, command)
    _print(f"{options.out}: {options.out.stat().st_size} bytes, parity in σ {card['parity_sigma']}")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.tools.pretrain", description=__doc__)
    parser.add_argument("--real", type=Path, required=True, help="folder of the public datasets")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="model file to write")
    parser.add_argument("--checkpoint", type=Path, help="keep the weights here; reuse if there")
    parser.add_argument("--steps", type=int, default=5000, help="training steps")
    parser.add_argument("--minutes", type=float, help="train for so long instead")
    parser.add_argument("--from", dest="start", type=Path, help="weights to go on from")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--without", default="", help="train without this dataset, and only score")
    parser.add_argument("--batch", type=int, default=64, help="windows per step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--without-transformer",
        action="store_true",
        help="train without the transformer and only score it: what the transformer adds",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
