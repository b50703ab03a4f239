"""Make the model that ships in the package, with one command, from public data and the simulator.

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
from scripts.tools.datasets import REAL_SETS, as_named, as_shapes, read_set, split
from scripts.tools.synthetic import synthetic_fleet
from storage.model.grid import STEP_MINUTES
from storage.model.metrics import GROUPS, METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES
from storage.query.history import History

SHUFFLES = 4  # ways in which nameless columns are put together
SIMULATED_SERVERS, SIMULATED_DAYS = 100, 21
_JUDGED = {"smd": 0.5, "asd": 0.25, "jumpstarter": 0.25}  # weights in the loss that stops
HELD_OUT_SERVERS = 20  # a simulated fleet of another seed; its rack of 20 has every profile
SIMULATED_FROM = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday

# Shares of training windows: SMD most, as real servers whose metrics move apart; the simulator
# enough for the metrics that no real set has.
NAMED_SHARE = {"smd": 0.20, "asd": 0.0, "jumpstarter": 0.12}
SHAPES_SHARE = {"smd": 0.20, "asd": 0.13, "jumpstarter": 0.10}
INVENTED_SHARE, INVENTED_SERVERS, INVENTED_DAYS = 0.10, 150, 15
# Name, (readings per step, calm), share: roll-ups are means, a sparse source has single readings.
SIMULATIONS = (
    ("simulator, means", (5, True), 0.07),
    ("simulator, single readings", (1, True), 0.04),
    ("simulator, scenarios", (5, False), 0.04),
)


def simulated(servers: int, days: int, seed: int, samples: int, calm: bool = True) -> History:
    """`days` of a simulated fleet: each step the mean of `samples` readings.

    A calm fleet has its usual mix of incidents; another one changes its scenario every 6 h.
    """
    fleet = make_fleet(servers, seed)
    start_s = int(SIMULATED_FROM.timestamp())
    steps = days * 24 * 60 // STEP_MINUTES
    seconds = start_s + np.arange(steps * samples) * (STEP_MINUTES * 60 // samples)
    readings = simulate(fleet, seconds, _timeline(days, calm), seed)
    values = readings.reshape(servers, steps, samples, -1).mean(2)
    profiles = np.array([PROFILE_NAMES.index(s.profile) for s in fleet], np.int64)
    return History(tuple(s.name for s in fleet), profiles, start_s, values)


def _timeline(days: int, calm: bool) -> list[tuple[datetime, str]]:
    if calm:
        return [(SIMULATED_FROM, "mixed")]
    turns = ("mixed", "degrading", "mixed", "critical", "mixed", "cascade")
    return [
        (SIMULATED_FROM + timedelta(hours=6 * i), turns[i % len(turns)]) for i in range(4 * days)
    ]


def corpora(real: Path, seed: int, without: str = "") -> list[Corpus]:
    """What is trained on: no held-out server, not the last 4.7 days, not the set `without`."""
    random = np.random.default_rng(seed)
    found = [
        Corpus(name, simulated(SIMULATED_SERVERS, SIMULATED_DAYS, seed, *how), share)
        for name, how, share in SIMULATIONS
    ]
    made = synthetic_fleet(INVENTED_SERVERS, INVENTED_DAYS, seed)
    found.append(Corpus("invented", made, INVENTED_SHARE, False, nameless=True))
    for source in REAL_SETS:
        if source.name == without:
            continue
        learned, _ = split(read_set(real, source.name))
        if source.named:
            named = as_named(learned, source).before(-HELD_OUT_STEPS)
            share = NAMED_SHARE[source.name]
            found.append(Corpus(source.name, named, share, False, source.licence))
        laid = [h for _ in range(SHUFFLES) for h in as_shapes(learned, random)]
        share = SHAPES_SHARE[source.name] / len(laid)
        found += [
            Corpus(f"{source.name}, shapes", learnt, share, False, source.licence, nameless=True)
            for learnt in (h.before(-HELD_OUT_STEPS) for h in laid)
        ]
    return found


def held_out(real: Path, seed: int) -> dict[str, list[History]]:
    """What is scored on: servers that no corpus has, on days that no corpus has."""
    found = {"simulator": [simulated(HELD_OUT_SERVERS, SIMULATED_DAYS, seed + 1, 5)]}
    for source in REAL_SETS:
        _, held = split(read_set(real, source.name))
        if source.named:
            found[source.name] = [as_named(held, source)]
        found[f"{source.name}, all columns"] = as_shapes(held)
    return found


def aside(real: Path, seed: int) -> tuple[list[ScoredWindows], list[ScoredWindows]]:
    """What bands are calibrated by, and what of it has its metrics' true names.

    The last 4.7 days of servers that are trained on, and the days before of those that are not.
    """
    named = [held_out_windows(simulated(HELD_OUT_SERVERS, SIMULATED_DAYS, seed, 5))]
    shapes = []
    for source in REAL_SETS:
        learned, held = split(read_set(real, source.name))
        before = [h.before(-HELD_OUT_STEPS) for h in as_shapes(held)]
        shapes += [held_out_windows(*as_shapes(learned)), held_out_windows(*before)]
        if source.named:
            earlier = as_named(held, source).before(-HELD_OUT_STEPS)
            named += [held_out_windows(as_named(learned, source)), held_out_windows(earlier)]
    return named + shapes, named


def scores(
    candidates: Mapping[str, Forecasting], sets: Mapping[str, Sequence[History]]
) -> dict[str, Any]:
    """Loss, median's error and coverage of each candidate on each held-out set."""
    found: dict[str, Any] = {}
    for name, histories in sets.items():
        windows = held_out_windows(*histories)
        found[name] = {"windows": len(windows.context), "anomalous": int(windows.anomalous.sum())}
        for candidate, forecast in candidates.items():
            quantiles = forecast(windows.context, windows.week_minute, windows.profile)
            for part, chosen in _parts(candidate, windows).items():
                told = score(quantiles, windows, chosen)
                found[name][part] = _rounded(told.loss, told.error, told.inside, told.inside_96)
                _say(f"{name:26} {part:18} {told}")
            if candidate == "model" and "all columns" not in name:
                found[f"{name}, bands"] = _per_group(quantiles, windows)
            if (name, candidate) == ("simulator", "model"):
                found["simulator, per metric"] = _per_metric(quantiles, windows)
    return found


def _parts(candidate: str, windows: ScoredWindows) -> dict[str, NDArray[np.bool_] | None]:
    """All windows; for the model also those with and without a labelled anomaly."""
    marks = windows.anomalous
    parts: dict[str, NDArray[np.bool_] | None] = {candidate: None}
    if candidate == "model" and marks.any() and not marks.all():
        parts |= {"… anomalous": marks, "… calm": ~marks}
    return parts


def _per_group(quantiles: Array, windows: ScoredWindows) -> dict[str, list[float]]:
    """What the 80 and 96 % bands of each group of metrics hold."""
    by = score_by_metric(quantiles, windows)
    told = {name: by.over([METRIC_NAMES.index(m) for m in group]) for name, group in GROUPS.items()}
    found = {name: _rounded(s.inside, s.inside_96) for name, s in told.items() if s.series}
    _say(f"  {found}")
    return found


def _per_metric(quantiles: Array, windows: ScoredWindows) -> dict[str, list[float]]:
    by = score_by_metric(quantiles, windows)
    found = {}
    for place, metric in enumerate(METRIC_NAMES):
        told = ~np.isnan(by.loss[:, place])
        if told.any():
            loss, error = (geometric(x[told, place]) for x in (by.loss, by.error))
            found[metric] = _rounded(loss, error, by.inside[told, place].mean())
            print(f"  {metric:24} {found[metric]}")
    return found


def _rounded(*numbers: float) -> list[float]:
    return [round(float(number), 3) for number in numbers]


def _say(line: str) -> None:
    print(line, flush=True)


def validation(real: Path) -> dict[str, ScoredWindows]:
    """The held-out servers' days before the last 4.7: early stopping and the bands go by them."""
    found = {}
    for source in REAL_SETS:
        _, held = split(read_set(real, source.name))
        histories = as_shapes(held) + ([as_named(held, source)] if source.named else [])
        before = [h.before(-HELD_OUT_STEPS) for h in histories]
        found[source.name] = held_out_windows(*before)
    return found


def _judge(real: Path) -> Callable[[ForecastNetwork], float]:
    sets = validation(real)

    def judge(network: ForecastNetwork) -> float:
        ask, told = torch_forecast(network), {}
        for name, part in sets.items():
            told[name] = score(ask(part.context, part.week_minute, part.profile), part)
        _say("  ".join(f"{name} {one}" for name, one in told.items()))
        mean = sum(_JUDGED[name] * float(np.log(one.loss)) for name, one in told.items())
        return float(np.exp(mean))

    return judge


def _log(done: int, total: int, loss: float, left_s: float) -> None:
    if done % 200 == 0 or done == total:
        _say(f"step {done} of {total}  loss {loss:.4f}  {left_s / 60:.1f} min left")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, export, verify and score; print each, and the wall time."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    asked = _arguments(arguments)
    began = time.monotonic()
    checkpoint = _trained(asked)
    factors = calibrate(checkpoint.network, *aside(asked.real, asked.seed))
    if asked.checkpoint:
        save_checkpoint(checkpoint, asked.checkpoint)
    _say(
        f"trained after {(time.monotonic() - began) / 60:.1f} min; bands widened by "
        f"{factors.min():.2f} to {factors.max():.2f}, {factors.mean((0, 1)).round(3)}"
    )
    if asked.without_transformer or asked.without:
        scores({"model": torch_forecast(checkpoint.network)}, held_out(asked.real, asked.seed))
    else:
        _publish(checkpoint, asked)
    _say(f"{(time.monotonic() - began) / 60:.1f} min in all")
    return 0


def _trained(asked: argparse.Namespace) -> Checkpoint:
    if asked.checkpoint and asked.checkpoint.exists():
        return load_checkpoint(asked.checkpoint)
    steps = ENDLESS if asked.minutes else asked.steps
    recipe = Recipe(steps, asked.batch, asked.rate, seed=asked.seed, minutes=asked.minutes)
    keep = asked.checkpoint and asked.checkpoint.with_suffix(".progress")
    return train(
        corpora(asked.real, asked.seed, asked.without),
        recipe,
        Shape(transformer=not asked.without_transformer),
        start=load_checkpoint(asked.start) if asked.start else None,
        on_progress=_log,
        early_stopping=EarlyStopping(_judge(asked.real), every=400, patience=1_000),
        progress_file=keep,
    )


def _publish(checkpoint: Checkpoint, asked: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    long = "steps" if asked.minutes is None else "minutes"
    command = (
        "python -m scripts.tools.pretrain --real DIR "
        + " ".join(f"--{name} {getattr(asked, name)}" for name in (long, "batch", "rate", "seed"))
        + (" --from FILE" if asked.start else "")
    )
    export(checkpoint, asked.out, now, command=command)
    candidates = {"model": onnx_forecast(asked.out), **baselines()}
    found = scores(candidates, held_out(asked.real, asked.seed))
    card = export(checkpoint, asked.out, now, found, command)
    _say(f"{asked.out}: {asked.out.stat().st_size} bytes, parity in σ {card['parity_sigma']}")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.tools.pretrain", description=__doc__)
    parser.add_argument("--real", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="model file to write")
    parser.add_argument("--checkpoint", type=Path, help="keep the weights here; reuse if there")
    parser.add_argument("--steps", type=int, default=5000, help="training steps")
    parser.add_argument("--minutes", type=float, help="train for so long instead")
    parser.add_argument("--from", dest="start", type=Path, help="weights to go on from")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--without", default="", help="leave a real set out, and only score")
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
