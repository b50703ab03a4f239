import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.engine.function import Function, function
from functions.engine.function_catalog import engine_functions
from functions.engine.runner import Runner
from functions.engine.schedule import Schedule
from functions.engine.triggers import every
from functions.engine.window import Window
from functions.replay.replay import (
    ReplayFailed,
    ReplayOptions,
    replay,
    replayed_functions,
    rollups,
    samples,
    server_facts,
)
from functions.rollup import SETTLE
from functions.simulator.simulated_fleet import make_fleet
from functions.simulator.simulated_series import simulate
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.model.grid import CONTEXT_STEPS, STEP
from storage.model.profiles import PROFILE_NAMES
from storage.model.schema import table
from storage.query.history import History
from storage.query.memory_lake import MemoryLake
from storage.query.reader import Reader
from tests.conftest import LakeFixture

START = datetime(2026, 5, 5, 10, 50, tzinfo=UTC)  # so that an hour ends in the steps played
STEPS = 3
FUNCTIONS = replayed_functions(engine_functions())
OPTIONS = ReplayOptions(cores=(4, 4, 4))


def small_history() -> History:
    fleet = make_fleet(3, seed=7)
    seconds = int(START.timestamp()) + 300 * np.arange(CONTEXT_STEPS + STEPS)
    values = simulate(fleet, seconds, [(START, "critical")], seed=7)
    profiles = np.array([PROFILE_NAMES.index(s.profile) for s in fleet])
    return History(tuple(s.name for s in fleet), profiles, int(seconds[0]), values)


@pytest.fixture(scope="module")
def history() -> History:
    return small_history()


@pytest.fixture(scope="module")
def model() -> Forecaster:
    return Forecaster.open(SHIPPED)


@pytest.fixture(scope="module")
def replayed(history, model, tmp_path_factory) -> Iterator[MemoryLake]:
    lake = replay(history, model, FUNCTIONS, Folders.at(tmp_path_factory.mktemp("x")), OPTIONS)
    yield lake
    lake.close()


def live(house: LakeFixture, history: History) -> None:
    """Run the functions on a lake with its writer, as the engine does, at the same times."""
    runner = Runner(house.folders, Settings())
    house.put("server_facts", server_facts(history, START, OPTIONS.cores), created_at=START)
    house.put("metrics_5m", rollups(history, range(CONTEXT_STEPS)), created_at=START)
    schedules = [Schedule(function) for function in FUNCTIONS]
    for step in range(CONTEXT_STEPS, CONTEXT_STEPS + STEPS):
        now = START + (step + 1) * STEP + SETTLE
        house.put("metrics_5m", rollups(history, range(step, step + 1)), created_at=now)
        house.put("metrics", samples(history, step), created_at=now)
        changed = {"metrics_5m", "metrics"}
        while True:
            house.commit(now)
            for schedule in schedules:
                schedule.note(changed)
            due = next((s for s in schedules if s.due(now)), None)
            if due is None:
                break
            due.take()
            run = runner.run(due.function, "test", now)
            assert run.error is None
            due.ran(now, failed=False, more=run.batch.more)
            changed = {name for name, rows in run.batch.rows.items() if rows.num_rows}


def rows_of(reader: Reader, name: str) -> list[dict[str, Any]]:
    order = ", ".join(table(name).key or (table(name).time,))
    rows: list[dict[str, Any]] = reader.query(f"SELECT * FROM {name} ORDER BY {order}").to_pylist()
    return rows


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-9)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def test_live_and_replay_write_equal_rows(
    house: LakeFixture, history: History, replayed: MemoryLake
) -> None:
    live(house, history)
    written = sorted({name for function in FUNCTIONS for name in function.writes})
    filled = set()
    for name in written:
        expected, rows = rows_of(house.reader, name), rows_of(replayed.reader, name)
        assert len(rows) == len(expected), name
        filled |= {name} if rows else set()
        for ours, theirs in zip(rows, expected, strict=True):
            assert same(ours, theirs), (name, ours, theirs)
    assert {"forecasts", "scores", "odds", "breaches", "risks", "alert_events"} <= filled, filled


def test_every_step_is_forecast_when_it_ends(replayed: MemoryLake) -> None:
    issued = replayed.reader.query(
        "SELECT issued_at, made_at, count(*) AS n FROM forecasts GROUP BY ALL ORDER BY issued_at"
    ).to_pylist()
    ends = [START + (CONTEXT_STEPS + n + 1) * STEP for n in range(STEPS)]
    assert [row["issued_at"] for row in issued] == ends
    assert [row["made_at"] for row in issued] == [end + SETTLE for end in ends]
    assert {row["n"] for row in issued} == {3 * 14}


def counting(seen: list[Any]) -> Function:
    @function(on=every("10m"), writes="marks")
    def counter(window: Window, now: datetime, cursor: str | None) -> pa.Table:
        newest = window.sql("SELECT max(ts) AS ts FROM metrics_5m")["ts"][0].as_py()
        seen.append((now, newest, cursor))
        return table("marks").arrow.empty_table()

    return counter


def test_a_function_runs_by_its_own_schedule_and_sees_no_later_step(history, model, tmp_path):
    seen: list[Any] = []
    replay(history, model, [counting(seen)], Folders.at(tmp_path), OPTIONS).close()
    assert [now.minute for now, _, _ in seen] == [55, 0]
    assert all(newest == now - SETTLE - STEP for now, newest, _ in seen)


def test_the_cadence_says_which_steps_are_followed_by_runs(history, model, tmp_path):
    seen: list[Any] = []
    options = replace(OPTIONS, cadence_minutes=15)
    replay(history, model, [counting(seen)], Folders.at(tmp_path), options).close()
    assert [now - SETTLE for now, _, _ in seen] == [START + timedelta(hours=24, minutes=10)]


def test_a_function_that_fails_is_named_with_the_time(history, model, tmp_path):
    @function(on=every("5m"), writes="marks")
    def broken() -> pa.Table:
        raise ValueError("no such level")

    with pytest.raises(ReplayFailed, match=r"broken failed at 2026-05-06 10:55 UTC: ValueError: "):
        replay(history, model, [broken], Folders.at(tmp_path), OPTIONS)


def test_nothing_that_leaves_the_house_is_replayed():
    @function(on=every("1m"), writes="deliveries")
    def deliver() -> pa.Table:
        return table("deliveries").arrow.empty_table()

    names = [f.name for f in replayed_functions([deliver, *engine_functions()])]
    assert "deliver" not in names
    assert "rollup" not in names
    assert names[0] == "forecast"
