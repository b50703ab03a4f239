"""Outcomes: the breaches of a history and the warnings of its episodes, ready to be judged.

Servers are numbered as in the history, metrics as in METRIC_NAMES; times are minutes from its
start.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from functions.rules.evaluation.straight_lines import intervals
from functions.rules.evaluation.warning_quality import JudgedBreaches, JudgedWarnings
from functions.rules.odds.breaches import Breach, breaches
from storage.model.grid import LEAD_MINUTES, STEP_MINUTES
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.profiles import PROFILE_NAMES, levels_for
from storage.query.history import STEP_S, History
from storage.query.reader import Reader

__all__ = [
    "LEVELLED", "Levels", "SeriesNames", "breaches_of", "level_breaches", "levels_of",
    "odds_grid", "signed", "warnings_of_episodes", "warnings_of_states", "with_possible",
]  # fmt: skip

# The metrics that have levels, by their place in METRIC_NAMES.
LEVELLED = tuple(i for i, metric in enumerate(METRICS) if metric.levels is not None)
_SIGNS = np.array([-1.0 if METRICS[i].bad_when == "low" else 1.0 for i in LEVELLED])

# Warn and critical level [servers, levelled], signed so that more is worse.
Levels = tuple[NDArray[np.float64], NDArray[np.float64]]


def signed(history: History) -> NDArray[np.float64]:
    """Return the levelled metrics [servers, levelled, steps], signed so that more is worse."""
    chosen = history.values[:, :, list(LEVELLED)].astype(np.float64) * _SIGNS
    return np.ascontiguousarray(chosen.transpose(0, 2, 1))


def levels_of(history: History, cores: Sequence[int | None] | None) -> Levels:
    """Return the levels of each server's profile and cores."""
    counts = cores if cores is not None else [None] * len(history.servers)
    both = [levels_for(PROFILE_NAMES[p], n) for p, n in zip(history.profiles, counts, strict=True)]
    warn, critical = (
        np.array([[getattr(each[METRIC_NAMES[i]], kind) for i in LEVELLED] for each in both])
        for kind in ("warn", "critical")
    )
    return warn * _SIGNS, critical * _SIGNS


def level_breaches(history: History, level: NDArray[np.float64]) -> JudgedBreaches:
    """Return the breaches of a level [servers, levelled] by all levelled metrics."""
    values = signed(history)
    series = values.reshape(-1, values.shape[2])
    return breaches_of(breaches(series, level.reshape(-1)), LEVELLED)


def breaches_of(rows: Sequence[Breach], metrics: Sequence[int]) -> JudgedBreaches:
    """Return breaches of series [servers × metrics] as columns; `metrics` are those of a server."""
    return JudgedBreaches(
        np.array([row.row // len(metrics) for row in rows], np.int64),
        np.array([metrics[row.row % len(metrics)] for row in rows], np.int64),
        np.array([row.start * STEP_MINUTES for row in rows], np.float64),
        np.array([row.stop * STEP_MINUTES for row in rows], np.float64),
        np.full(len(rows), math.nan),
    )


def with_possible(
    events: JudgedBreaches, causes: Mapping[tuple[int, int], Sequence[tuple[float, float]]]
) -> JudgedBreaches:
    """Return breaches with the lead that was possible, from the starts and ends of their causes.

    `causes` are (start, end) in minutes by server and metric.
    """
    possible = events.possible.copy()
    for i, key in enumerate(zip(events.servers, events.metrics, strict=True)):
        starts = [a for a, b in causes.get((int(key[0]), int(key[1])), ())
                  if a <= events.started[i] <= b]  # fmt: skip
        if starts:
            possible[i] = events.started[i] - max(starts)
    return JudgedBreaches(events.servers, events.metrics, events.started, events.ended, possible)


def odds_grid(reader: Reader, history: History) -> NDArray[np.float64]:
    """Return the odds [servers, levelled, steps, leads] as of the end of each step.

    NaN where none were issued; a series that is left out of an issue for its small odds has 0.
    """
    columns = ", ".join(f"p_{lead}m" for lead in LEAD_MINUTES)
    rows = reader.query(f"SELECT server, metric, issued_at, {columns} FROM odds")
    servers = {name: i for i, name in enumerate(history.servers)}
    metrics = {METRIC_NAMES[place]: j for j, place in enumerate(LEVELLED)}
    server = np.array([servers.get(name, -1) for name in rows["server"].to_pylist()], np.int64)
    metric = np.array([metrics.get(name, -1) for name in rows["metric"].to_pylist()], np.int64)
    seconds = np.asarray(rows["issued_at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()))
    step = (seconds // 1_000_000 - history.start_s) // STEP_S - 1
    known = (server >= 0) & (metric >= 0) & (step >= 0) & (step < history.steps)
    grid = np.full((len(servers), len(metrics), history.steps, len(LEAD_MINUTES)), np.nan)
    for i, lead in enumerate(LEAD_MINUTES):
        values = rows[f"p_{lead}m"].to_numpy()
        grid[server[known], metric[known], step[known], i] = values[known]
    issued = ~np.isnan(grid).all(axis=(0, 1, 3))
    grid[:, :, issued] = np.nan_to_num(grid[:, :, issued])
    return grid


def warnings_of_states(state: NDArray[np.bool_], metrics: Sequence[int]) -> JudgedWarnings:
    """Return the warnings of series [servers × metrics, steps] that are on, as of each step's end.

    `metrics` are those of each server, in the order of the series.
    """
    rows, starts, stops = intervals(state)
    last = state.shape[1]
    return JudgedWarnings(
        rows // len(metrics),
        np.array(metrics, np.int64)[rows % len(metrics)],
        np.asarray((starts + 1) * STEP_MINUTES, np.float64),
        np.where(stops >= last, np.inf, np.asarray((stops + 1) * STEP_MINUTES, np.float64)),
        np.zeros(len(rows), np.bool_),
    )


@dataclass(frozen=True, slots=True)
class SeriesNames:
    """The servers and metrics by their numbers, and the time from which minutes count."""

    servers: Sequence[str]
    metrics: Sequence[str]
    start: datetime

    @classmethod
    def of(cls, history: History) -> "SeriesNames":
        """Return those of a history."""
        return cls(history.servers, METRIC_NAMES, datetime.fromtimestamp(history.start_s, UTC))


def warnings_of_episodes(
    events: pa.Table, names: SeriesNames, rules: Collection[str] | None = None
) -> JudgedWarnings:
    """Return the episodes of `rules` (None: all) that began as a prediction.

    `events` are rows of `alert_events`. An episode that began with its breach warned of nothing.
    """
    places = {name: i for i, name in enumerate(names.servers)}
    metrics = {name: i for i, name in enumerate(names.metrics)}
    predicted = [
        each
        for each in _episodes(events, rules)
        if each["phase"] == "predicted" and each["server"] in places
        and each["metric"] in metrics
    ]  # fmt: skip
    return JudgedWarnings(
        np.array([places[each["server"]] for each in predicted], np.int64),
        np.array([metrics[each["metric"]] for each in predicted], np.int64),
        np.array(
            [(each["opened"] - names.start) / timedelta(minutes=1) for each in predicted],
            np.float64,
        ),
        np.array([_closed(each["closed"], names.start) for each in predicted], np.float64),
        np.array([each["averted"] for each in predicted], np.bool_),
    )


def _episodes(events: pa.Table, rules: Collection[str] | None) -> list[dict[str, Any]]:
    """The first phase, opening and end of each episode."""
    episodes: dict[str, dict[str, Any]] = {}
    for row in events.sort_by([("ts", "ascending")]).to_pylist():
        if row["metric"] is None or (rules is not None and row["rule"] not in rules):
            continue
        first = {
            "server": row["server"], "metric": row["metric"], "phase": row["phase"],
            "opened": row["ts"], "closed": None, "averted": False,
        }  # fmt: skip
        episode = episodes.setdefault(row["episode"], first)
        if row["phase"] in ("over", "withdrawn", "averted"):
            episode["closed"] = row["ts"]
            episode["averted"] = row["phase"] == "averted"
    return list(episodes.values())


def _closed(at: datetime | None, start: datetime) -> float:
    return math.inf if at is None else (at - start) / timedelta(minutes=1)
