import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.engine.function import Batch, Function, function
from functions.engine.runner import Runner
from functions.engine.scheduler import BACK_OFF_S, Schedule, _run_if_due, run_scheduler
from functions.engine.triggers import Trigger, every, rows
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.inbox.notify import notify
from storage.inbox.segment import provenance_of
from tests.conftest import NOW

NOON = NOW.replace(second=0)
CLOCK = every("5m")
METRICS = rows("metrics", pause="10s")


def after(**span: float) -> datetime:
    return NOON + timedelta(**span)


def idle() -> Batch:
    return Batch()


def made(*on: Trigger, call: Callable[..., Any] = idle) -> Function:
    return function(on=on, writes="scenarios")(call)


def ran(schedule: Schedule, moment: datetime, failed: bool = False) -> None:
    """What the loop does around a run."""
    schedule.changed = set()
    schedule.ran(moment, failed)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(Folders.at(tmp_path).create(), Settings())


@pytest.mark.parametrize("trigger", [CLOCK, METRICS], ids=str)
def test_everything_is_due_at_the_start(trigger: Trigger) -> None:
    assert Schedule(made(trigger)).due(NOON) == str(trigger)


def test_after_a_run_the_clock_makes_it_due_again() -> None:
    schedule = Schedule(made(CLOCK))
    ran(schedule, NOON)
    assert schedule.due(after(minutes=4)) is None
    assert schedule.due(after(minutes=5)) == "every 300 s"


@pytest.mark.parametrize("trigger", [CLOCK, METRICS], ids=str)
@pytest.mark.parametrize("failed", [False, True])
def test_a_clock_that_is_set_back_keeps_no_function_waiting(trigger: Trigger, failed: bool) -> None:
    schedule = Schedule(made(trigger))
    assert schedule.due(NOON)
    ran(schedule, NOON, failed)
    schedule.note(["metrics"])
    assert schedule.due(after(hours=-1)) == str(trigger)
    ran(schedule, after(hours=-1))
    assert schedule.due(after(hours=-1, seconds=1)) is None


def test_after_a_run_rows_make_it_due_again() -> None:
    schedule = Schedule(made(METRICS))
    ran(schedule, NOON)
    assert schedule.due(after(minutes=1)) is None
    schedule.note(["metrics", "segments"])
    assert schedule.due(after(minutes=1)) == "rows in metrics"


def test_rows_in_other_tables_set_nothing_off() -> None:
    schedule = Schedule(made(METRICS))
    ran(schedule, NOON)
    schedule.note(["forecasts"])
    assert schedule.due(after(minutes=1)) is None


def test_rows_wait_until_the_pause_is_over() -> None:
    schedule = Schedule(made(METRICS))
    ran(schedule, NOON)
    schedule.note(["metrics"])
    assert schedule.due(after(seconds=9)) is None
    assert schedule.due(after(seconds=10)) == "rows in metrics"


def test_of_several_triggers_each_can_set_it_off() -> None:
    schedule = Schedule(made(METRICS, CLOCK))
    ran(schedule, NOON)
    assert schedule.due(after(minutes=5)) == "every 300 s"
    schedule.note(["metrics"])
    assert schedule.due(after(minutes=1)) == "rows in metrics"


def waits_s(schedule: Schedule, moment: datetime) -> float:
    ran(schedule, moment, failed=True)
    assert schedule.not_before is not None
    return (schedule.not_before - moment).total_seconds()


def test_the_wait_grows_with_each_failure_up_to_a_minute() -> None:
    schedule = Schedule(made(CLOCK))
    for planned in (*BACK_OFF_S, BACK_OFF_S[-1], BACK_OFF_S[-1]):
        assert 0.8 * planned <= waits_s(schedule, NOON) <= 1.2 * planned


def test_nothing_sets_it_off_before_the_wait_is_over() -> None:
    schedule = Schedule(made(every("1s")))
    for _ in range(3):
        waits_s(schedule, NOON)
    assert schedule.due(after(seconds=3)) is None
    assert schedule.due(after(seconds=5)) == "every 1 s"


def test_a_run_that_goes_well_ends_the_waiting() -> None:
    schedule = Schedule(made(every("1s")))
    for _ in range(4):
        waits_s(schedule, NOON)
    ran(schedule, after(minutes=1))
    assert schedule.due(after(minutes=1, seconds=1)) == "every 1 s"
    assert waits_s(schedule, NOON) <= 1.2 * BACK_OFF_S[0]


def test_it_sleeps_until_the_clock_may_make_it_due() -> None:
    assert Schedule(made(METRICS, CLOCK)).wait_s(after(minutes=4)) == 60


def test_a_failed_run_keeps_what_had_changed(runner: Runner) -> None:
    def explode() -> Batch:
        raise RuntimeError("boom")

    schedule = Schedule(made(METRICS, call=explode))
    _run_if_due(runner, schedule)
    assert schedule.failures == 1
    assert schedule.changed == {"metrics"}


def test_what_changes_during_a_run_is_not_forgotten(runner: Runner) -> None:
    def busy() -> Batch:
        schedule.note(["metrics"])
        return Batch()

    schedule = Schedule(made(METRICS, call=busy))
    _run_if_due(runner, schedule)
    assert schedule.changed == {"metrics"}


def ledger(runner: Runner) -> list[str]:
    return [provenance_of(path).table for path in runner.folders.inbox.iterdir()]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("watch_lake", [False, True])
def test_the_loop_runs_what_is_due_until_it_is_told_to_stop(
    runner: Runner, watch_lake: bool
) -> None:
    stop, calls = threading.Event(), []

    def last(now: datetime) -> Batch:
        calls.append(now)
        stop.set()
        return Batch()

    run_scheduler(runner, [made(METRICS, CLOCK), made(METRICS, CLOCK, call=last)], stop, watch_lake)
    assert len(calls) == 1
    assert ledger(runner) == ["runs"]


@pytest.mark.timeout(20)
def test_news_of_a_commit_sets_off_what_waits_for_its_table(runner: Runner) -> None:
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
    assert "runs" in ledger(runner)


@pytest.mark.timeout(20)
def test_a_loop_that_is_stopped_already_runs_nothing(runner: Runner) -> None:
    stop = threading.Event()
    stop.set()
    run_scheduler(runner, [made(CLOCK)], stop, watch_lake=False)
    assert ledger(runner) == []
