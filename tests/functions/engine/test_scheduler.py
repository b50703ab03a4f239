"""The scheduler loop: what is due runs, and nothing that fails stops the rest."""

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from functions.engine.function import Batch, Function, function
from functions.engine.listeners import CommitListener, WakeEvent
from functions.engine.run_log import SUSPEND_AFTER
from functions.engine.runner import Runner
from functions.engine.schedule import Schedule
from functions.engine.scheduler import SchedulerLoop, run_if_due, run_scheduler
from functions.engine.triggers import Trigger, every, rows
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.inbox.notify import notify
from storage.inbox.segment import provenance_of
from tests.conftest import LakeFixture
from tests.functions.engine.engine_scenes import (
    BAD_FIVE,
    FailingExecutor,
    Watched,
    declared,
    enter_runs,
    in_background,
)

CLOCK = every("5m")
METRICS = rows("metrics", pause="10s")


def idle() -> Batch:
    return Batch()


def made(*on: Trigger, call: Callable[..., Any] = idle) -> Function:
    return function(on=on, writes="scenarios")(call)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(Folders.at(tmp_path).create(), Settings())


def test_a_failed_run_keeps_what_had_changed(runner: Runner) -> None:
    def explode() -> Batch:
        raise RuntimeError("boom")

    schedule = Schedule(made(METRICS, call=explode))
    run_if_due(runner, schedule)
    assert schedule.failures == 1
    assert schedule.changed == {"metrics"}


def test_what_changes_during_a_run_is_not_forgotten(runner: Runner) -> None:
    def busy() -> Batch:
        schedule.note(["metrics"])
        return Batch()

    schedule = Schedule(made(METRICS, call=busy))
    run_if_due(runner, schedule)
    assert schedule.changed == {"metrics"}


def tables_written(runner: Runner) -> list[str]:
    return [provenance_of(path).table for path in runner.folders.inbox.iterdir()]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("watch_lake", [False, True])
def test_the_loop_runs_what_is_due_until_it_is_stopped(runner: Runner, watch_lake: bool) -> None:
    stop, calls = threading.Event(), []

    def last(now: datetime) -> Batch:
        calls.append(now)
        stop.set()
        return Batch()

    run_scheduler(runner, [made(METRICS, CLOCK), made(METRICS, CLOCK, call=last)], stop, watch_lake)
    assert len(calls) == 1
    assert tables_written(runner) == ["runs"]


@pytest.mark.timeout(20)
def test_a_commit_sets_off_the_functions_of_its_table(runner: Runner) -> None:
    stop, calls = threading.Event(), []

    def commit() -> Batch:
        notify(runner.folders, ["metrics"])
        return Batch()

    def hear(now: datetime) -> Batch:
        calls.append(now)
        if len(calls) == 2:  # the first is the one at the start
            stop.set()
        return Batch()

    functions = [made(every("100ms"), call=commit), made(rows("metrics"), call=hear)]
    run_scheduler(runner, functions, stop, watch_lake=True)
    assert len(calls) == 2


@pytest.mark.timeout(20)
def test_a_function_that_fails_stops_neither_the_loop_nor_the_others(runner: Runner) -> None:
    stop = threading.Event()

    def explode() -> Batch:
        raise SystemError("foreign code")

    def last() -> Batch:
        stop.set()
        return Batch()

    run_scheduler(
        runner, [made(CLOCK, call=explode), made(CLOCK, call=last)], stop, watch_lake=False
    )
    assert stop.is_set()
    assert "runs" in tables_written(runner)


@pytest.mark.timeout(20)
def test_a_loop_that_is_stopped_already_runs_nothing(runner: Runner) -> None:
    stop = threading.Event()
    stop.set()
    run_scheduler(runner, [made(CLOCK)], stop, watch_lake=False)
    assert tables_written(runner) == []


def test_a_suspended_function_runs_at_once_after_a_resume_command(house: LakeFixture) -> None:
    runner, executor, stop = Watched(house.folders), FailingExecutor(), threading.Event()
    schedule, wake_event = Schedule(declared(), executor), WakeEvent()
    for _ in range(SUSPEND_AFTER):
        schedule.ran(runner.clock(), failed=True)
    enter_runs(runner, BAD_FIVE)
    CommitListener(house.folders, stop).subscribe(wake_event)
    with in_background(SchedulerLoop(runner, [schedule], wake_event).keep_going, stop):
        before = executor.calls
        Runner(house.folders, Settings()).resume(declared())  # as the command does
        house.commit(runner.clock())
        runner.until(lambda: executor.calls > before, "the resumed function runs")
    assert schedule.failures == 1
