"""Early warning: how far ahead warnings come, beside the alert rules that people use today.

    python -m scripts.tools.early_warning                     # a simulated fleet, small
    python -m scripts.tools.early_warning --sets mixed,healthy --full --json numbers.json
    python -m scripts.tools.early_warning --sets smd,jumpstarter --data DATASETS

A set is played through the functions that serve (functions.replay). Each line of the table is one
kind of warning, judged against the same breaches of the critical level by the same definitions
(functions.rules.evaluation.warning_quality); point-adjusted F1 is none of them. In the public
datasets every series is scaled so that its 98.5th percentile of the first half is the critical
level of the metric in whose place it stands, since their authors give no levels.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.engine.function_catalog import engine_functions
from functions.replay.outcomes import (
    LEVELLED,
    SeriesNames,
    level_breaches,
    levels_of,
    odds_grid,
    signed,
    warnings_of_episodes,
    warnings_of_states,
    with_possible,
)
from functions.replay.replay import ReplayOptions, replay, replayed_functions
from functions.replay.simulated import Causes, simulated_history
from functions.rules.evaluation.straight_lines import (
    conditions,
    intervals,
    latched,
    met,
    met_for,
)
from functions.rules.evaluation.warning_quality import (
    JudgedBreaches,
    JudgedWarnings,
    WarningQuality,
    warning_quality,
)
from functions.simulator.incidents import SCENARIOS
from scripts.tools.datasets import DATASETS, as_named, as_shapes, read_set
from storage.config.folders import Folders
from storage.model.grid import LEAD_MINUTES, STEP_MINUTES
from storage.model.metrics import METRIC_NAMES
from storage.query.history import History
from storage.query.memory_lake import MemoryLake

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = 288
NOT_READ = frozenset({"risk", "drift"})  # by what makes warnings
CALM_STEPS = 6  # warnings close after half an hour without their condition
FOR_MINUTES = 15.0
QUIET_STEPS = 24
TOP = 0.985
CLOSE_ODDS = 0.5
# (P within 1 h, P within 2 h, of how many issues, how many needed): LOOP's rules on odds alone.
ODDS_RULES = ((0.2, 0.3, 2, 3), (0.2, 0.3, 6, 8), (0.3, 0.4, 2, 3), (0.5, 0.6, 2, 3))
SMALL = {"servers": 8, "days": 5.0}
FULL = {"servers": 40, "days": 10.0}
HEALTHY_FULL = {"servers": 50, "days": 14.0}

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TestSet:
    """A history with the cores of its servers and the causes of its breaches, where known."""

    __test__ = False  # no test class

    name: str
    history: History
    cores: tuple[int | None, ...]
    causes: Causes


def main() -> None:
    """Play the sets and print a table of each."""
    options = _options()
    model = Forecaster.open(options.model or SHIPPED)
    results: dict[str, dict[str, object]] = {}
    for name in options.sets.split(","):
        chosen = _test_set(name.strip(), options)
        kinds = warnings_of(chosen, model, options)
        tables = {chosen.name: (breaches_of(chosen), False)}
        if chosen.history.anomalous is not None:
            tables[f"{chosen.name}, labels of its authors"] = (labels_of(chosen.history), True)
        for title, (events, whole_server) in tables.items():
            qualities = judged(chosen, kinds, events, options, whole_server=whole_server)
            print_table(title, chosen, qualities)
            results[title] = {kind: quality.as_json() for kind, quality in qualities.items()}
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def warnings_of(
    chosen: TestSet, model: Forecaster | None, options: argparse.Namespace
) -> dict[str, JudgedWarnings]:
    """Return the warnings of each kind on one set; without a model those of today's rules."""
    warn, critical = levels_of(chosen.history, chosen.cores)
    kinds = peers(chosen.history, critical, warn)
    if not options.peers_only and model is not None:
        lake = played(chosen, model, options)
        kinds |= odds_rules(lake, chosen.history) | episodes(lake, chosen.history)
        lake.close()
    return kinds


def breaches_of(chosen: TestSet) -> JudgedBreaches:
    """Return the breaches of the critical level, with the lead that was possible."""
    critical = levels_of(chosen.history, chosen.cores)[1]
    return with_possible(level_breaches(chosen.history, critical), chosen.causes)


def labels_of(history: History) -> JudgedBreaches:
    """Return the stretches that a dataset's authors labelled, of servers as a whole: metric 0."""
    assert history.anomalous is not None
    rows, starts, stops = intervals(history.anomalous)
    return JudgedBreaches(
        rows, np.zeros(len(rows), np.int64), np.asarray(starts * STEP_MINUTES, np.float64),
        np.asarray(stops * STEP_MINUTES, np.float64), np.full(len(rows), math.nan),
    )  # fmt: skip


def judged(
    chosen: TestSet,
    kinds: Mapping[str, JudgedWarnings],
    events: JudgedBreaches,
    options: argparse.Namespace,
    whole_server: bool = False,
) -> dict[str, WarningQuality]:
    """Return the scorecard of each kind of warning against one kind of event.

    For events of a `whole_server` a warning of any of its metrics counts.
    """
    history = chosen.history
    start = options.warm_up_days * DAY * STEP_MINUTES
    span = (float(start), float(history.steps * STEP_MINUTES))
    result = {}
    for kind, warnings in kinds.items():
        metrics = np.zeros_like(warnings.metrics) if whole_server else warnings.metrics
        ours = replace(_since(warnings, start), metrics=metrics[warnings.closed > start])
        result[kind] = warning_quality(ours, events, span, len(history.servers))
    return result


def _since(warnings: JudgedWarnings, start: float) -> JudgedWarnings:
    """Leave out what closed before the time that is judged."""
    late = warnings.closed > start
    return JudgedWarnings(*(getattr(warnings, n)[late] for n in JudgedWarnings.__slots__))


def played(chosen: TestSet, model: Forecaster, options: argparse.Namespace) -> MemoryLake:
    """Play a set through the functions that serve."""
    began = time.monotonic()

    def progress(done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            print(f"\r{chosen.name}: {done} of {total} steps, "
                  f"{(time.monotonic() - began) / done:.2f} s a step", end="", file=sys.stderr,
                  flush=True)  # fmt: skip

    chain = [f for f in replayed_functions(engine_functions()) if f.name not in NOT_READ]
    with tempfile.TemporaryDirectory() as folder:
        lake = replay(
            chosen.history, model, chain, Folders.at(folder),
            ReplayOptions(cadence_minutes=options.cadence, cores=chosen.cores), progress,
        )  # fmt: skip
    print(file=sys.stderr)
    return lake


def peers(
    history: History, critical: NDArray[np.float64], warn: NDArray[np.float64]
) -> dict[str, JudgedWarnings]:
    """Return the warnings of the rules in use today, each `for: 15m`."""
    values = signed(history)
    series = values.reshape(-1, values.shape[2])
    fired = conditions(series, critical.reshape(-1), warn.reshape(-1))
    return {
        name: warnings_of_states(
            latched(met_for(condition, FOR_MINUTES), ~condition, CALM_STEPS), LEVELLED
        )
        for name, condition in fired.items()
    }


def odds_rules(lake: MemoryLake, history: History) -> dict[str, JudgedWarnings]:
    """Return the warnings of fixed rules on the odds; "2 of 3" are 10 of the last 15 minutes."""
    grid = odds_grid(lake.reader, history)
    p = _standing(grid.reshape(-1, *grid.shape[2:]))
    if np.isnan(p).all():
        return {}
    one, two = p[..., LEAD_MINUTES.index(60)], p[..., LEAD_MINUTES.index(120)]
    kinds = {}
    for a, b, needed, of in ODDS_RULES:
        with np.errstate(invalid="ignore"):
            high = (one >= a) | (two >= b)
            low = (one < a * CLOSE_ODDS) & (two < b * CLOSE_ODDS)
        state = latched(met(high, needed, of), low, CALM_STEPS, QUIET_STEPS)
        kinds[f"odds P(1h) ≥ {a:g} or P(2h) ≥ {b:g}, {needed} of {of}"] = warnings_of_states(
            state, LEVELLED
        )
    return kinds


def _standing(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Let odds [n, steps, leads] stand for a quarter of an hour, as for a slower cadence."""
    standing = odds.copy()
    for back in range(1, 15 // STEP_MINUTES):
        gap = np.isnan(standing[:, back:])
        standing[:, back:] = np.where(gap, odds[:, :-back], standing[:, back:])
    return standing


def episodes(lake: MemoryLake, history: History) -> dict[str, JudgedWarnings]:
    """Return the warnings of the stock rules: the episodes that they opened."""
    events = lake.reader.query("SELECT * FROM alert_events")
    return {"episodes of the stock rule": warnings_of_episodes(events, SeriesNames.of(history))}


def print_table(title: str, chosen: TestSet, qualities: Mapping[str, WarningQuality]) -> None:
    """Print the table of one set and one kind of event."""
    first = next(iter(qualities.values()))
    print(
        f"\n{title}: {len(chosen.history.servers)} servers, {first.host_days:.0f} host-days, "
        f"{first.breaches} breaches; possible lead median {_number(first.possible_median, 0)} min, "
        + ", ".join(f"≥ {n} min {_number(v)}" for n, v in first.possible_recall.items())
    )
    print(f"{'':44} recall at lead ≥            pre-   false/   lead min     of      time")
    print(f"{'':44}  30 m   1 h   2 h   4 h  cision host-day  med  P10 possible  warned")
    for kind, quality in qualities.items():
        recall = " ".join(f"{_number(value):>5}" for value in quality.recall.values())
        print(
            f"{kind:44} {recall}   {_number(quality.precision):>5} "
            f"{_number(quality.false_per_host_day, 3):>8} {_number(quality.lead_median, 0):>4} "
            f"{_number(quality.lead_p10, 0):>4} {_number(quality.possible_share):>8} "
            f"{_number(quality.time_warned, 3):>7}"
        )


def _number(value: float, digits: int = 2) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _test_set(name: str, options: argparse.Namespace) -> TestSet:
    if name in SCENARIOS:
        size = dict(SMALL)
        if options.full:
            size = dict(HEALTHY_FULL if name == "healthy" else FULL)
        servers, days = options.servers or size["servers"], options.days or size["days"]
        made = simulated_history(name, int(servers), days, options.seed, START)
        return TestSet(name, made.history, made.cores, made.causes)
    known = {each.name: each for each in DATASETS}
    if name not in known or options.data is None:
        sys.exit(
            f"--sets {name!r}: expected some of {', '.join((*SCENARIOS, *known))}; "
            "the last ones need --data with the folder of their files"
        )
    columns, named = read_set(options.data, name), known[name].named
    history = as_named(columns, known[name]) if named else as_shapes(columns)[0]
    history = history.last(round((options.days or 10) * DAY))
    history = history.only(range(min(options.servers or 99, len(history.servers))))
    return TestSet(name, at_levels(history), (None,) * len(history.servers), {})


def at_levels(history: History) -> History:
    """Return the history with each series' TOP quantile of its first half at the critical level.

    Its median comes as far below the warn level as the critical one is above it.
    """
    warn, critical = levels_of(history, None)
    values = signed(history)  # [servers, levelled, steps], more is worse
    half = values[:, :, : values.shape[2] // 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        middle, top = (_quantile(half, q)[..., None] for q in (0.5, TOP))
        calm = 2 * warn[..., None] - critical[..., None]
        slope = (critical[..., None] - calm) / (top - middle)
        scaled = critical[..., None] + (values - top) * slope
    scaled = np.where(top - middle > 1e-6 * np.abs(top), scaled, np.nan)  # it never moves
    out = history.values.copy()
    for j, metric in enumerate(LEVELLED):
        sign = np.sign(critical[0, j])
        out[:, :, metric] = np.clip(sign * scaled[:, j], 0, _highest(metric))
    return replace(history, values=out)


def _quantile(values: NDArray[np.float64], q: float) -> NDArray[np.float64]:
    known = np.where(np.isnan(values).all(axis=2, keepdims=True), 0.0, values)
    return np.asarray(np.nanquantile(known, q, axis=2))


def _highest(metric: int) -> float:
    return 100.0 if METRIC_NAMES[metric].endswith("_pct") else np.inf


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sets", default="mixed", help="comma-separated scenarios and datasets")
    parser.add_argument("--data", type=Path, help="the folder of the public datasets")
    parser.add_argument("--full", action="store_true", help="40 servers × 10 days; healthy 50 × 14")
    parser.add_argument("--servers", type=int)
    parser.add_argument("--days", type=float)
    parser.add_argument("--warm-up-days", type=float, default=2.0)
    parser.add_argument("--cadence", type=int, default=5, help="minutes between forecasts")
    parser.add_argument(
        "--seed", type=int, default=4242, help="no training used seeds from 4000 on"
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--peers-only", action="store_true", help="no replay: straight lines only")
    parser.add_argument("--json", type=Path, help="write all numbers there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
