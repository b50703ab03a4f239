"""Warm start: what the loop learns from the history of a new installation, as rows of the lake.

The history is replayed once by the functions that forecast, score and learn. What they learned is
kept; their forecasts are not, as those were never made.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from functions.engine.forecaster import Forecaster
from functions.engine.function_catalog import engine_functions
from functions.engine.window import Window
from functions.odds_fit import refit
from functions.replay.replay import ReplayOptions, replay, replayed_functions
from functions.rollup import SETTLE
from functions.warm_start import KNOWS_BREACHES
from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.model.grid import CONTEXT_STEPS
from storage.model.schema import table
from storage.query.history import History, cores_of, from_lake
from storage.query.memory_lake import MemoryLake
from storage.query.reader import Reader

__all__ = [
    "LEAST_DAYS", "AlreadyLearned", "Past", "WarmStartRefused", "check", "learned", "read_past",
]  # fmt: skip

FUNCTIONS = frozenset({"forecast", "breach", "score", "calibrate", "odds", "odds_fit"})
CADENCE_MINUTES = 15
DAYS, LEAST_DAYS = 8, 3
# Forecasts of two days are in memory: 8 MB a server.
MOST_SERVERS = 48
LARGEST_BYTES = 500_000_000  # of history in memory
STEP_BYTES = 14 * 4
# The commits have this order: calibration reads scores from its newest state on, and `odds_models`
# is there only when all is.
STATES = ("calibration", "race")
ISSUED = ("scores", "fleet_odds", "odds")

_LEARNED = "SELECT count(*) > 0 AS learned FROM trainings WHERE event = 'learned'"


class WarmStartRefused(HoursightError):
    """The history cannot be learned from; the message says why, and the remedy."""


class AlreadyLearned(HoursightError):
    """There is nothing to learn: the lake has what its history teaches, or what it will replace."""


@dataclass(frozen=True, slots=True)
class Past:
    """A history, its servers' cores, and when the first live rows of each table are from.

    `whole` is False where only some servers of the fleet are in it.
    """

    history: History
    cores: tuple[int | None, ...]
    first_live: Mapping[str, datetime]
    whole: bool = True


def check(reader: Reader) -> None:
    """Raise AlreadyLearned, or WarmStartRefused where a model of the data folder's own serves."""
    fitted = reader.query(KNOWS_BREACHES)["fitted"][0].as_py()
    before = reader.query(_LEARNED)["learned"][0].as_py()
    waiting = any(reader.folders.inbox.glob("*-warm_start-odds_models-*.parquet"))
    if fitted or before or waiting:
        raise AlreadyLearned(
            "the odds were fitted on this fleet's outcomes before: nothing is left"
        )
    own = reader.folders.own_model
    if own is not None:
        raise WarmStartRefused(
            f"{own.name} serves, a model of this data folder's own: it may have been trained on "
            "this history, and its forecasts of it would seem better than they are. Scores come "
            "with time, or go back to the shipped model: hoursight models promote shipped"
        )


def read_past(reader: Reader) -> Past:
    """Return what there is to learn from: 8 days at most. Raises HistoryError, WarmStartRefused."""
    servers = int(reader.query("SELECT count(*) AS n FROM servers")["n"][0].as_py())
    steps = min(DAYS * CONTEXT_STEPS, LARGEST_BYTES // (max(servers, 1) * STEP_BYTES))
    history = from_lake(reader, steps)
    if history.steps < LEAST_DAYS * CONTEXT_STEPS:
        days = history.steps / CONTEXT_STEPS
        raise WarmStartRefused(
            f"there are {days:.1f} days of history to learn from: it takes {LEAST_DAYS} days, of "
            "which the first is before the first forecast"
        )
    part = sample(history)
    return Past(part, cores_of(reader, part), _first_live(reader), len(part.servers) == servers)


def sample(history: History) -> History:
    """Return a history's servers, of a large fleet MOST_SERVERS of them in all profiles."""
    if len(history.servers) <= MOST_SERVERS:
        return history
    order = np.argsort(history.profiles, kind="stable")
    places = np.linspace(0, len(order) - 1, MOST_SERVERS).round().astype(int)
    return history.only(np.sort(order[places]))


def _first_live(reader: Reader) -> dict[str, datetime]:
    """Return the time of the first live row of each table that has some."""
    result = {}
    for name in ISSUED:
        rows = reader.query(
            f"SELECT min({table(name).time}) AS ts FROM {name} WHERE replayed IS NOT TRUE"
        )
        if (first := rows["ts"][0].as_py()) is not None:
            result[name] = first
    return result


def learned(
    past: Past,
    model: Forecaster,
    folders: Folders,
    progress: Callable[[int, int], Any] = lambda *_: None,
) -> dict[str, pa.Table]:
    """Replay a past; return the rows that it adds to the lake by table, in order of commit.

    `progress` gets the steps that are done and their number. Nothing is written. Raises
    ReplayFailed.
    """
    chosen = [f for f in replayed_functions(engine_functions()) if f.name in FUNCTIONS]
    options = ReplayOptions(cadence_minutes=CADENCE_MINUTES, cores=past.cores)
    lake = replay(past.history, model, chosen, folders, options, progress)
    try:
        _fit_at_the_end(lake, past.history.span[1])
        return dict(_rows(lake, past))
    finally:
        lake.close()


def _fit_at_the_end(lake: MemoryLake, end: datetime) -> None:
    """Fit the odds once more, on all of the history."""
    now = end + SETTLE
    lake.at(now)
    for name, rows in refit(Window(lake.reader, now)).rows.items():
        lake.put(name, rows)


def _rows(lake: MemoryLake, past: Past) -> Iterable[tuple[str, pa.Table]]:
    for name in STATES:
        yield (
            name,
            lake.reader.query(f"SELECT * FROM {name} WHERE ts = (SELECT max(ts) FROM {name})"),
        )
    for name in ISSUED:
        if name == "fleet_odds" and not past.whole:
            continue
        column = table(name).time
        first = past.first_live.get(name, past.history.span[1])
        yield (
            name,
            lake.reader.query(
                f"SELECT * REPLACE (true AS replayed) FROM {name} WHERE {column} < $first "
                f"ORDER BY {column}",
                first=first,
            ),
        )
    kinds = "" if past.whole else "WHERE kind != 'fleet'"
    yield "odds_models", lake.reader.query(f"SELECT * FROM odds_models {kinds} ORDER BY ts")
