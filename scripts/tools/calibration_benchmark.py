"""Calibration benchmark: bands and blends before and after, on histories played in order of time.

    python -m scripts.tools.calibration_benchmark --real DIR [--sets smd azure …] [--days 12]

DIR holds smd.parquet, asd.parquet, jumpstarter.parquet and azure.parquet. The model forecasts every
server each quarter of an hour of the last days. Each hour the sums of the forecasts that came due
update calibration and race by the rules that serve; no forecast is corrected by a later truth.
Days 3 to 10 are reported (the race: days 3 to 9), of all servers and of every fourth, which no
training has seen. The bands are tried as they are, 40 % too narrow and 70 % too wide.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.rules.defaults import ABSOLUTE_DISTANCE
from functions.rules.evaluation.scoring import geometric
from functions.rules.scores import loss
from functions.rules.serving import calibration, race
from functions.rules.serving.recipes import ServingState, recipe_of
from functions.rules.serving.state_rows import NamedCalibration, NamedRace
from scripts.tools.datasets import DATASETS, as_named, as_shapes, read_set
from scripts.tools.pretrain import simulated
from storage.model.grid import BUCKET_MINUTES, CONTEXT_STEPS, HORIZON_STEPS, STEP_MINUTES
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.profiles import GENERIC, PROFILE_NAMES
from storage.model.served import BUCKET_OF_STEP, Recipe, candidates, served
from storage.query.history import STEP_S, History

__all__ = ["SETS", "Trial", "fleet_of", "play", "report"]

SETS = ("smd", "jumpstarter", "asd", "azure", "simulator")
SIMULATED_SERVERS, AZURE_SERVERS = 20, 60
SEED = 977  # no training has used it
HOUR = 60 // STEP_MINUTES
ISSUE_EACH = 3  # steps
LEADS = np.arange(ISSUE_EACH - 1, HORIZON_STEPS, ISSUE_EACH)
BANDS_EACH = 6 * HOUR
PRESET_EACH = 2 * HOUR
LEAST_TARGETS = 500  # of a series, for its share inside
FIRST_DAY, LAST_DAY, LAST_RACE_DAY = 2, 10, 9

Floats = npt.NDArray[Any]
_UPTIME = METRIC_NAMES.index("uptime_days")
_TOP = np.array([np.inf if m.highest is None else m.highest for m in METRICS], np.float32)
_LOSSES = ("raw", "calibrated", "context", "seasonal", "last", "served")


@dataclass
class Trial:
    """One way to serve: bands `scale` times as wide as the model's, with or without the race."""

    scale: float
    with_race: bool
    calibration: NamedCalibration
    race: NamedRace
    sums: Mapping[str, Floats]  # [hours, 3, n, 14] each
    kept: list[tuple[int, Floats]] = field(default_factory=list)  # for the preset

    @classmethod
    def new(cls, names: Sequence[str], hours: int, scale: float, with_race: bool) -> "Trial":
        """Return a trial of a fleet, whose servers have one profile."""
        shape = hours, len(BUCKET_MINUTES), len(names), len(METRIC_NAMES)
        counts = ("targets", "moving", *(f"{k}{b}" for k in ("raw", "served") for b in range(3)))
        kinds = (*(f"loss {name}" for name in _LOSSES), "naive", *counts)
        named = NamedCalibration.new().of((GENERIC,), names)
        sums = {kind: np.zeros(shape) for kind in kinds}
        return cls(scale, with_race, named, NamedRace.new(names), sums)

    def learn(self, hour: int, values: Floats, step: int) -> None:
        """Update the states by the sums of `hour`, which ended before `step` of the history."""
        inside = np.stack([self.sums[f"served{band}"][hour] for band in range(3)], axis=-1)
        counts = calibration.HourCounts(
            self.sums["moving"][hour].transpose(1, 2, 0), inside.transpose(1, 2, 0, 3)
        )
        place = np.zeros(len(self.race.servers), np.int64)
        state = calibration.updated(self.calibration.state, counts, place)
        if calibration.due_for_preset(state).any():
            state = calibration.preset(state, self._factors(values, step))
        self.calibration = replace(self.calibration, state=state)
        if self.with_race:
            self._learn_race(hour, values, step)

    def _learn_race(self, hour: int, values: Floats, step: int) -> None:
        targets = self.sums["targets"][hour]
        with np.errstate(invalid="ignore", divide="ignore"):
            losses = [self.sums[f"loss {name}"][hour] / targets for name in _LOSSES[1:5]]
        state = race.updated(self.race.state, np.stack(losses, axis=-1).transpose(1, 2, 0, 3))
        scale = np.where(np.isfinite(_TOP), _TOP, _span(values[:, :step]))
        self.race = replace(self.race, state=state, shares=race.weights(state, scale))
        if step % BANDS_EACH < HOUR:
            recent = values[:, step - race.HISTORY_STEPS : step]
            self.race = replace(
                self.race,
                seasonal_band=race.seasonal_band(recent),
                last_band=race.last_band(recent),
            )

    def _factors(self, values: Floats, step: int) -> Floats:
        padded = np.pad(values[:, :step], ((0, 0), (0, HORIZON_STEPS), (0, 0)),
                        constant_values=np.nan)  # fmt: skip
        least = ABSOLUTE_DISTANCE * _span(values[:, step - CONTEXT_STEPS : step])
        ratios = []
        for origin, raw in self.kept:
            truth = padded[:, origin + LEADS]
            by_series = raw.transpose(0, 2, 1, 3).reshape(-1, len(LEADS), 7)
            of_series = truth.transpose(0, 2, 1).reshape(-1, len(LEADS))
            ratios.append(calibration.band_ratios(by_series, of_series, least.reshape(-1)))
        metric = np.tile(np.arange(len(METRICS)), len(ratios) * len(values))
        bucket = BUCKET_OF_STEP[LEADS]
        return calibration.factors_of_ratios(np.concatenate(ratios), metric, bucket)

    def issue(self, origin: int, values: Floats, raw: Floats, first: int) -> None:
        """Serve `raw` [n, 96, 14, 7] of one origin, and add up what comes of it by its hours."""
        median = raw[..., 3:4]
        raw = np.clip(median + np.float32(self.scale) * (raw - median), 0, _TOP[:, None])
        context = values[:, origin - CONTEXT_STEPS : origin]
        if (origin - first) % PRESET_EACH == 0:
            self.kept = [k for k in self.kept if k[0] > origin - CONTEXT_STEPS - HORIZON_STEPS]
            self.kept.append((origin, raw[:, LEADS]))
        serving = ServingState(self.calibration, self.race)
        recipe = recipe_of(context, (GENERIC,) * len(raw), serving)
        self._add(origin, values, raw, recipe, first)

    def _add(self, origin: int, values: Floats, raw: Floats, recipe: Recipe, first: int) -> None:
        truth = values[:, origin + LEADS]
        context = values[:, origin - CONTEXT_STEPS : origin]
        shown = served(raw, recipe)[:, LEADS]
        forecasts = [raw[:, LEADS], *(each[:, LEADS] for each in candidates(raw, recipe)), shown]
        known = np.isfinite(truth) & np.isfinite(shown[..., 3])
        known[..., _UPTIME] = False
        parts: dict[str, Floats | npt.NDArray[np.bool_]]
        parts = {f"loss {n}": loss(truth, f) for n, f in zip(_LOSSES, forecasts, strict=True)}
        parts["naive"] = np.abs(truth - np.asarray(_newest(context))[:, None])
        parts["targets"] = np.ones(truth.shape)
        moving = known & _moves(context)[:, None]
        parts["moving"] = moving
        for name, each in (("raw", forecasts[0]), ("served", shown)):
            for band in range(3):
                low, high = each[..., 2 - band], each[..., 4 + band]
                parts[f"{name}{band}"] = moving & (truth >= low) & (truth <= high)
        hours, buckets = (origin + LEADS - first) // HOUR, BUCKET_OF_STEP[LEADS]
        cells, cell = np.unique(np.stack([hours, buckets]), axis=1, return_inverse=True)
        member = (np.arange(cells.shape[1])[:, None] == cell).astype(np.float32)
        for name, part in parts.items():
            counted = np.where(known, part, 0).astype(np.float32)
            self.sums[name][tuple(cells)] += np.tensordot(member, counted, (1, 1))


def _newest(context: Floats) -> Floats:
    known = np.isfinite(context)
    place = context.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    return np.take_along_axis(context, place[:, None], axis=1)[:, 0]


def _moves(context: Floats) -> npt.NDArray[np.bool_]:
    known = np.isfinite(context)
    low = np.where(known, context, np.inf).min(axis=1)
    return np.asarray(np.where(known, context, -np.inf).max(axis=1) > low)


def _span(values: Floats) -> Floats:
    """Return P99 less P1 of each series of values [n, steps, 14]; 0 of none."""
    known = np.asarray(np.isfinite(values).any(axis=1))
    filled = np.where(known[:, None], values, 0)
    ends = np.nanquantile(filled, [0.01, 0.99], axis=1)
    return np.asarray(ends[1] - ends[0])


def play(history: History, model: Forecaster, days: float) -> list[Trial]:
    """Play the last `days` of a history through the model and each trial."""
    values, count = history.values, history.steps
    first = count - round(days * CONTEXT_STEPS)
    hours = (count - first) // HOUR + 1
    kinds = ((1.0, False), (0.6, False), (1.7, False), (1.0, True))
    trials = [Trial.new(history.servers, hours, *kind) for kind in kinds]
    for origin in range(first, count - HORIZON_STEPS, ISSUE_EACH):
        hour, within = divmod(origin - first, HOUR)
        if within == 0 and hour:
            for trial in trials:
                trial.learn(hour - 1, values, origin)
        start = datetime.fromtimestamp(history.start_s + (origin - CONTEXT_STEPS) * STEP_S, UTC)
        context = values[:, origin - CONTEXT_STEPS : origin]
        raw = model.predict(context, start, history.profiles).quantiles
        for trial in trials:
            trial.issue(origin, values, raw, first)
    return trials


def report(name: str, trials: Sequence[Trial], chosen: npt.NDArray[np.bool_]) -> Iterator[str]:
    """Yield lines of the table for the servers that are `chosen` [n]."""
    reference = _per_series(trials[0].sums["loss raw"], chosen, LAST_DAY)
    for trial in trials[:3]:
        before, after = (_coverage(trial, kind, chosen) for kind in ("raw", "served"))
        ratio = _ratio(_per_series(trial.sums["loss served"], chosen, LAST_DAY), reference)
        yield (
            f"{name}, bands x {trial.scale:g}: 80 % {before[1]:.3f} -> {after[1]:.3f}, "
            f"96 % {before[2]:.3f} -> {after[2]:.3f}, spread of 80 % {before[3]:.3f} -> "
            f"{after[3]:.3f}, loss / that of the model as it is {geometric(ratio):.4f}"
        )
    raced, alone, context, naive = (
        _per_series(trials[3].sums[kind], chosen, LAST_RACE_DAY)
        for kind in ("loss served", "loss calibrated", "loss context", "naive")
    )
    ratio, other = _ratio(raced, alone), _ratio(context, alone)
    skills = 1 - _ratio(raced, naive)
    yield (
        f"{name}, race: {geometric(ratio):.4f} (context quantiles alone {geometric(other):.3f}), "
        f"sum {raced.sum() / alone.sum():.4f}, {100 * np.mean(ratio > 1.02):.1f} % of "
        f"{len(ratio)} series more than 2 % worse, the worst {ratio.max():.3f}; "
        f"{100 * np.mean(skills < 0):.1f} % without skill, skill {np.median(skills):.2f}"
    )


def _per_series(sums: Floats, chosen: npt.NDArray[np.bool_], last_day: int) -> Floats:
    """Return sums over the days that are reported, of each series [n * 14]."""
    days = sums[24 * FIRST_DAY : 24 * last_day][:, :, chosen]
    return np.asarray(days.sum(axis=(0, 1))).reshape(-1)


def _ratio(part: Floats, whole: Floats) -> Floats:
    known = whole > 1e-6
    return np.asarray(np.maximum(part[known], 1e-9) / whole[known])


def _coverage(
    trial: Trial, kind: str, chosen: npt.NDArray[np.bool_]
) -> tuple[float, float, float, float]:
    """Return the shares inside 50, 80 and 96 %, and the spread of the second over series."""
    moving = _per_series(trial.sums["moving"], chosen, LAST_DAY)
    inside = [_per_series(trial.sums[f"{kind}{band}"], chosen, LAST_DAY) for band in range(3)]
    enough = moving > LEAST_TARGETS
    spread = float((inside[1][enough] / moving[enough]).std())
    return *(float(each.sum() / moving.sum()) for each in inside), spread  # type: ignore[return-value]


def fleet_of(name: str, real: Path, days: int) -> History:
    """Return a set as one history; anonymous columns stand in the places of metrics."""
    if name == "simulator":
        return simulated(SIMULATED_SERVERS, days + 4, SEED, 5)
    if name == "azure":
        return _azure(real)
    columns = read_set(real, name)
    source = next(each for each in DATASETS if each.name == name)
    parts = [as_named(columns, source)] if source.named else as_shapes(columns)
    return History(
        tuple(server for part in parts for server in part.servers),
        np.concatenate([part.profiles for part in parts]), parts[0].start_s,
        np.concatenate([part.values for part in parts]),
    )  # fmt: skip


def _azure(real: Path) -> History:
    rows = pq.read_table(real / "azure.parquet")
    names, server = np.unique(np.array(rows["server"].to_pylist()), return_inverse=True)
    seconds = rows["ts"].cast(pa.timestamp("s")).cast(pa.int64()).to_numpy()
    step = (seconds - seconds.min()) // STEP_S
    values = np.full((len(names), step.max() + 1, len(METRICS)), np.nan, np.float32)
    values[server, step, METRIC_NAMES.index("cpu_idle_pct")] = rows["cpu_idle_pct"].to_numpy()
    profiles = np.full(AZURE_SERVERS, PROFILE_NAMES.index(GENERIC), np.int64)
    return History(
        tuple(names[:AZURE_SERVERS]), profiles, int(seconds.min()), values[:AZURE_SERVERS]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Play each set and print its lines."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.tools.calibration_benchmark", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--real", type=Path, required=True, help="folder of the public datasets")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="model file (the shipped one)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--days", type=int, default=12)
    options = parser.parse_args(arguments)
    model = Forecaster.open(options.model)
    for name in options.sets:
        history = fleet_of(name, options.real, options.days)
        trials = play(history, model, options.days)
        held_out = np.arange(len(history.servers)) % 4 == 2
        for title, chosen in ((name, held_out | True), (f"{name}, held out", held_out)):
            for line in report(title, trials, chosen):
                print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
