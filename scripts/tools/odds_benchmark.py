"""Odds benchmark: skill and reliability of the odds of a breach, before and after calibration.

    python -m scripts.tools.odds_benchmark [--real DIR] [--model FILE] [--work DIR] [--svg FILE] \
        [SET ...]

A SET is `mixed` (a simulated fleet), `smd` or `jumpstarter` (from DIR/SET.parquet; the critical
level of a series is its P99, or P99.5, before the scored days, and its warn level the P95), with a
forecast every 15 minutes. Calibrators, paths and trend head are fitted on the first
half of the scored days by the code that serves, and judged on the second. `--work` keeps the
forecasts' odds. The picture shows said against came with the band of blocks (server × 8 h).
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.rules.fleet_state import JUDGED, Floats, bands_of, judged, judged_quantiles
from functions.rules.odds.exceedance import exceedance
from functions.rules.odds.paths import Ranks, rank_templates
from scripts.tools.datasets import DATASETS, as_named, read_set
from scripts.tools.pretrain import simulated
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, STEP_MINUTES
from storage.model.profiles import PROFILE_NAMES
from storage.query.history import STEP_S, History

SEED = 4242
SIMULATED_SERVERS, SIMULATED_DAYS, SAMPLES = 40, 12, 5
SCORED_DAYS = 10
ISSUE_STEPS = 3
DAY_STEPS = 24 * 60 // STEP_MINUTES
LEVELS = {"smd": 99.0, "jumpstarter": 99.5}
WARN_LEVEL = 95.0
TEMPLATE_EVERY = 12  # issues of 15 minutes


@dataclass(frozen=True, slots=True)
class OddsSet:
    """A history with its levels [n, judged], and the odds of its forecasts.

    `values` [n, T, judged] are signed; `curve` [n, m, judged, 96] are the odds of the steps of the
    forecasts issued at the steps `origins` [m]; `templates` are ranks of each metric, from the
    first half.
    """

    name: str
    values: Floats
    critical: Floats
    warn: Floats
    origins: np.ndarray
    curve: Floats
    templates: dict[int, Ranks]


def odds_set(name: str, real: Path, forecaster: Forecaster, work: Path | None) -> OddsSet:
    """Return a set with its forecasts' odds, from `work` where they were made before."""
    history = _history(name, real)
    values = judged(history.values)
    first = max(CONTEXT_STEPS, history.steps - SCORED_DAYS * DAY_STEPS)
    origins = np.arange(first, history.steps - HORIZON_STEPS, ISSUE_STEPS)
    critical, warn = _levels(name, history, values, first)
    file = (
        work / f"odds_{name}_{forecaster.hash}_{len(values)}x{len(origins)}.npz" if work else None
    )
    if file is None or not file.exists():
        made = _forecast_odds(history, values, critical, warn, origins, forecaster)
        if file is None:
            return OddsSet(name, values, critical, warn, origins, *made)
        part = file.with_name(f"part-{file.name}")
        np.savez_compressed(
            part, curve=made[0], **{f"templates_{j}": ranks for j, ranks in made[1].items()}
        )
        os.replace(part, file)
    stored = np.load(file)
    templates = {j: stored[f"templates_{j}"] for j in range(len(JUDGED))}
    return OddsSet(name, values, critical, warn, origins, stored["curve"], templates)


def _history(name: str, real: Path) -> History:
    if name == "mixed":
        return simulated(SIMULATED_SERVERS, SIMULATED_DAYS, SEED, SAMPLES)
    (source,) = [each for each in DATASETS if each.name == name]
    return as_named(read_set(real, name), source)


def _levels(name: str, history: History, values: Floats, first: int) -> tuple[Floats, Floats]:
    if name == "mixed":
        profiles = [PROFILE_NAMES[i] for i in history.profiles]
        bands = bands_of(profiles, [None] * len(profiles))
        return bands.critical, bands.warn
    known = np.where(np.isnan(values[:, :first]).all(axis=1, keepdims=True), 0, values[:, :first])
    critical = np.nanpercentile(known, LEVELS[name], axis=1)
    warn = np.nanpercentile(known, WARN_LEVEL, axis=1)
    gap = np.maximum(critical - warn, 0.02 * np.nanstd(known, axis=1) + 1e-3)
    # a series that stands still is never at its level
    still = np.nanmax(known, axis=1) <= critical
    return np.where(still, np.inf, critical), np.where(still, np.inf, critical) - gap


def _forecast_odds(
    history: History,
    values: Floats,
    critical: Floats,
    warn: Floats,
    origins: np.ndarray,
    forecaster: Forecaster,
) -> tuple[Floats, dict[int, Ranks]]:
    shape = (len(values), len(origins), len(JUDGED), HORIZON_STEPS)
    curve = np.full(shape, np.nan, np.float16)
    level = np.where(np.isfinite(critical), critical, 1e9)
    gap = np.maximum(np.where(np.isfinite(critical), critical - warn, 1.0), 1e-9)
    kept: dict[int, list[tuple[Floats, Floats]]] = {j: [] for j in range(len(JUDGED))}
    for i, origin in enumerate(origins):
        start = datetime.fromtimestamp(history.start_s + (origin - CONTEXT_STEPS) * STEP_S, UTC)
        context = history.values[:, origin - CONTEXT_STEPS : origin]
        made = forecaster.predict(context, start, history.profiles).quantiles
        for j in range(len(JUDGED)):
            quantiles = judged_quantiles(made, j)
            curve[:, i, j] = exceedance(quantiles, level[:, j, None], gap[:, j, None])
            if i % TEMPLATE_EVERY == 0 and i < len(origins) // 2:
                kept[j].append((quantiles, values[:, origin : origin + HORIZON_STEPS, j]))
    rng = np.random.default_rng(SEED)
    return curve, {
        j: rank_templates(
            np.concatenate([quantiles for quantiles, _ in cases]),
            np.concatenate([truth for _, truth in cases]),
            np.tile(gap[:, j], len(cases)),
            rng,
        )
        for j, cases in kept.items()
    }


def main() -> None:
    """Print the tables of each set, and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("sets", nargs="*", default=["mixed"], metavar="SET")
    parser.add_argument("--real", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--svg", type=Path)
    arguments = parser.parse_args()
    forecaster = Forecaster.open(arguments.model)
    for name in arguments.sets:
        made = odds_set(name, arguments.real, forecaster, arguments.work)
        print(name, made.curve.shape)


if __name__ == "__main__":
    main()
