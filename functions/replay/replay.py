"""Replay: plays a history through the engine's functions on a lake in memory, step by step.

Each 5-minute step is put into the lake as the roll-up would have written it, and then every
function runs that its own schedule makes due at that time. So what a replay returns is what the
functions would have written live, state and all, and it is as fast as they are.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from functions.engine.executors.function_call import CallRequest
from functions.engine.forecaster import Forecaster
from functions.engine.function import Batch, Function
from functions.engine.schedule import Schedule
from functions.replay.memory_executor import MemoryExecutor
from functions.rollup import SETTLE
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.errors import HoursightError
from storage.model.grid import CONTEXT_STEPS
from storage.model.metrics import METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES
from storage.model.schema import TIMESTAMP, table
from storage.query.history import STEP_S, History
from storage.query.memory_lake import MemoryLake

__all__ = ["ReplayFailed", "ReplayOptions", "replay", "replayed_functions"]

# What is not replayed: the roll-up, as the history is rolled up; what leaves the house; training.
LEFT_OUT = frozenset({"metrics_5m", "deliveries", "trainings"})
# In the order of the flow: what comes first in a step is read by those behind it.
ORDER = (
    "forecast", "breach", "score", "calibrate", "odds_fit", "odds", "risk", "cascade", "alert",
)  # fmt: skip
MOST_RUNS = 500  # of one function in one step; more is a function that never has enough


class ReplayFailed(HoursightError):
    """A function failed in the replay; the message names it, the time, and its error."""


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How to replay: steps before the first one that is replayed, and minutes between runs.

    At a cadence of 15 minutes the functions run after every third step, as in a system that is
    slower; odds and warnings mean something else then. `cores` are those of the servers, if known.
    """

    warm_up_steps: int = CONTEXT_STEPS
    cadence_minutes: int = 5
    cores: Sequence[int | None] | None = None
    settings: Settings | None = None


def replayed_functions(functions: Iterable[Function]) -> tuple[Function, ...]:
    """Return those of `functions` that a replay runs, in the order of the flow."""
    chosen = [f for f in functions if f.writes and not LEFT_OUT & set(f.writes)]
    places = {name: i for i, name in enumerate(ORDER)}
    return tuple(sorted(chosen, key=lambda f: places.get(f.name, len(places) - 1.5)))


def replay(
    history: History,
    model: Forecaster,
    functions: Sequence[Function],
    folders: Folders,
    options: ReplayOptions | None = None,
    progress: Callable[[int, int], Any] = lambda *_: None,
) -> MemoryLake:
    """Play `history` through `functions`; return the lake with everything that they wrote.

    `progress` gets the steps that are done and their number. `folders` is the data folder whose
    settings and rules hold; nothing is written to it. Raises ReplayFailed.
    """
    options = options or ReplayOptions()
    lake = MemoryLake(folders)
    with ExitStack() as undo:
        undo.callback(lake.close)
        player = _Player(history, lake, model, functions, options)
        player.prepare()
        first = min(options.warm_up_steps, history.steps)
        for step in range(first, history.steps):
            player.play(step)
            progress(step + 1 - first, history.steps - first)
        undo.pop_all()
    return lake


class _Player:
    def __init__(
        self,
        history: History,
        lake: MemoryLake,
        model: Forecaster,
        functions: Sequence[Function],
        options: ReplayOptions,
    ) -> None:
        self._history, self._lake, self._options = history, lake, options
        self._executor = MemoryExecutor(lake, model, options.settings or Settings())
        self._schedules = [Schedule(function) for function in functions]
        self._functions = {function.name: function for function in functions}
        self._cursors: dict[str, str] = {}
        self._next = min(options.warm_up_steps, history.steps)  # step to be put in

    def prepare(self) -> None:
        """Put in what was known before: the servers, and the steps of the warm-up."""
        first = self._options.warm_up_steps
        start = self._time(0)
        self._lake.at(self._time(first))
        self._lake.put("server_facts", server_facts(self._history, start, self._options.cores))
        for begin in range(0, first, CONTEXT_STEPS):
            part = range(begin, min(begin + CONTEXT_STEPS, first, self._history.steps))
            self._lake.put("metrics_5m", rollups(self._history, part))

    def play(self, step: int) -> None:
        """Let one step pass; when the system runs at its end, put in what came, and run."""
        end = self._time(step + 1)
        if int(end.timestamp()) % (self._options.cadence_minutes * 60):
            return
        self._lake.at(end + SETTLE)
        self._lake.put("metrics_5m", rollups(self._history, range(self._next, step + 1)))
        self._lake.put("metrics", samples(self._history, step))
        self._next = step + 1
        self._note({"metrics_5m", "metrics"})
        self._run_due(end + SETTLE)
        if end.minute == 0 and end.hour % 6 == 0:
            self._lake.forget()

    def _run_due(self, now: datetime) -> None:
        runs: dict[str, int] = {}
        while schedule := next((s for s in self._schedules if s.due(now)), None):
            name = schedule.function.name
            runs[name] = runs.get(name, 0) + 1
            if runs[name] > MOST_RUNS:
                raise ReplayFailed(f"{name} still has more to do after {MOST_RUNS} runs at {now}")
            self._run(schedule, now)

    def _run(self, schedule: Schedule, now: datetime) -> None:
        function = self._functions[schedule.function.name]
        schedule.take()
        request = CallRequest(now, self._cursors.get(function.name))
        try:
            batch = self._executor.call(function, request).batch
        except Exception as error:  # a function may raise anything; the message says which
            raise ReplayFailed(
                f"{function.name} failed at {now:%Y-%m-%d %H:%M} UTC: "
                f"{type(error).__name__}: {error}"
            ) from error
        changed = self._commit(function, batch)
        schedule.ran(now, failed=False, more=batch.more)
        self._note(changed)

    def _commit(self, function: Function, batch: Batch) -> set[str]:
        """Put a batch into the lake; return the tables that changed."""
        provenance = {"function": function.name, "cursor": batch.cursor, "model": batch.model}
        rows = dict(batch.rows)
        if batch.cursor is not None:
            self._cursors[function.name] = batch.cursor
            rows.setdefault(function.writes[0], table(function.writes[0]).arrow.empty_table())
        return {name for name, each in rows.items() if self._lake.put(name, each, **provenance)}

    def _note(self, tables: set[str]) -> None:
        for schedule in self._schedules:
            schedule.note(tables)

    def _time(self, step: int) -> datetime:
        return datetime.fromtimestamp(self._history.start_s + step * STEP_S, UTC)


def server_facts(history: History, at: datetime, cores: Sequence[int | None] | None) -> pa.Table:
    """Return the rows of `server_facts` of a history's servers."""
    profiles = [PROFILE_NAMES[i] for i in history.profiles]
    counts = cores if cores is not None else [None] * len(profiles)
    rows = [
        {"server": server, "ts": at, "profile": profile, "cores": count}
        for server, profile, count in zip(history.servers, profiles, counts, strict=True)
    ]
    return pa.Table.from_pylist(rows, table("server_facts").arrow)


def rollups(history: History, steps: range) -> pa.Table:
    """Return `steps` of a history as rows of `metrics_5m`; servers without a reading have none."""
    values = history.values[:, steps.start : steps.stop]
    server, step = np.nonzero(~np.isnan(values).all(axis=2))
    chosen = values[server, step]  # [rows, 14]
    columns = _keys(history, server, step + steps.start, 0)
    for i, name in enumerate(METRIC_NAMES):
        known = ~np.isnan(chosen[:, i])
        means = pa.array(chosen[:, i], pa.float32(), from_pandas=True)
        columns |= {f"{name}_mean": means, f"{name}_max": means}
        columns[f"{name}_count"] = pa.array(known.astype(np.int16))
    return pa.table(columns)


def samples(history: History, step: int) -> pa.Table:
    """Return a step as the newest samples, of its last second: a history has no finer ones."""
    values = history.values[:, step]
    server = np.flatnonzero(~np.isnan(values).all(axis=1))
    columns = _keys(history, server, np.full(len(server), step), STEP_S - 1)
    for i, name in enumerate(METRIC_NAMES):
        columns[name] = pa.array(values[server, i], pa.float32(), from_pandas=True)
    return pa.table(columns)


def _keys(history: History, server: Any, step: Any, offset_s: int) -> dict[str, pa.Array]:
    seconds = history.start_s + np.asarray(step, np.int64) * STEP_S + offset_s
    return {
        "server": pa.array(np.array(history.servers, object)[server], pa.string()),
        "ts": pa.array(seconds * 1_000_000, pa.timestamp("us", "UTC")).cast(TIMESTAMP),
    }
