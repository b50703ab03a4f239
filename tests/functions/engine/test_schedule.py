"""Schedule: when a function is due, by the clock, by what changed, and after failures."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from functions.engine.function import Declared
from functions.engine.run_log import SUSPEND_AFTER, FunctionState
from functions.engine.schedule import BACK_OFF_S, Schedule
from functions.engine.triggers import Trigger, cron, every, files, rows
from tests.conftest import NOW
from tests.functions.engine.engine_scenes import FailingExecutor, declared

NOON = NOW.replace(second=0)
CLOCK = every("5m")
METRICS = rows("metrics", pause="10s")


def after(**span: float) -> datetime:
    return NOON + timedelta(**span)


def ran(schedule: Schedule, ts: datetime, failed: bool = False) -> None:
    """What the loop does around a run."""
    schedule.changed = set()
    schedule.ran(ts, failed)


@pytest.mark.parametrize("trigger", [CLOCK, METRICS], ids=str)
def test_everything_is_due_at_the_start(trigger: Trigger) -> None:
    assert Schedule(declared(trigger)).due(NOON) == str(trigger)


def test_after_a_run_the_clock_makes_it_due_again() -> None:
    schedule = Schedule(declared(CLOCK))
    ran(schedule, NOON)
    assert schedule.due(after(minutes=4)) is None
    assert schedule.due(after(minutes=5)) == "every 300 s"


@pytest.mark.parametrize("trigger", [CLOCK, METRICS], ids=str)
@pytest.mark.parametrize("failed", [False, True])
def test_no_function_waits_after_the_clock_was_set_back(trigger: Trigger, failed: bool) -> None:
    schedule = Schedule(declared(trigger))
    assert schedule.due(NOON)
    ran(schedule, NOON, failed)
    schedule.note(["metrics"])
    assert schedule.due(after(hours=-1)) == str(trigger)
    ran(schedule, after(hours=-1))
    assert schedule.due(after(hours=-1, seconds=1)) is None


def test_after_a_run_rows_make_it_due_again() -> None:
    schedule = Schedule(declared(METRICS))
    ran(schedule, NOON)
    assert schedule.due(after(minutes=1)) is None
    schedule.note(["metrics", "segments"])
    assert schedule.due(after(minutes=1)) == "rows in metrics"


def test_rows_in_other_tables_set_nothing_off() -> None:
    schedule = Schedule(declared(METRICS))
    ran(schedule, NOON)
    schedule.note(["forecasts"])
    assert schedule.due(after(minutes=1)) is None


def test_rows_wait_until_the_pause_is_over() -> None:
    schedule = Schedule(declared(METRICS))
    ran(schedule, NOON)
    schedule.note(["metrics"])
    assert schedule.due(after(seconds=9)) is None
    assert schedule.due(after(seconds=10)) == "rows in metrics"


def test_of_several_triggers_each_can_set_it_off() -> None:
    schedule = Schedule(declared(METRICS, CLOCK))
    ran(schedule, NOON)
    assert schedule.due(after(minutes=5)) == "every 300 s"
    schedule.note(["metrics"])
    assert schedule.due(after(minutes=1)) == "rows in metrics"


def waits_s(schedule: Schedule, ts: datetime) -> float:
    ran(schedule, ts, failed=True)
    assert schedule.not_before is not None
    return (schedule.not_before - ts).total_seconds()


def test_the_wait_grows_with_each_failure_up_to_a_minute() -> None:
    schedule = Schedule(declared(CLOCK))
    for planned in (*BACK_OFF_S, BACK_OFF_S[-1], BACK_OFF_S[-1]):
        assert 0.8 * planned <= waits_s(schedule, NOON) <= 1.2 * planned


def test_nothing_sets_it_off_before_the_wait_is_over() -> None:
    schedule = Schedule(declared(every("1s")))
    for _ in range(3):
        waits_s(schedule, NOON)
    assert schedule.due(after(seconds=3)) is None
    assert schedule.due(after(seconds=5)) == "every 1 s"


def test_a_run_that_goes_well_ends_the_waiting() -> None:
    schedule = Schedule(declared(every("1s")))
    for _ in range(4):
        waits_s(schedule, NOON)
    ran(schedule, after(minutes=1))
    assert schedule.due(after(minutes=1, seconds=1)) == "every 1 s"
    assert waits_s(schedule, NOON) <= 1.2 * BACK_OFF_S[0]


def test_the_wait_ends_when_the_clock_may_make_it_due() -> None:
    assert Schedule(declared(METRICS, CLOCK)).wait_s(after(minutes=4)) == 60


def fail(schedule: Schedule, ts: datetime, times: int = 1, fault: bool = True) -> float:
    """Let it fail; how long it waits after the last time."""
    for _ in range(times):
        schedule.ran(ts, failed=True, fault=fault)
    assert schedule.not_before is not None
    return (schedule.not_before - ts).total_seconds()


def test_a_suspended_function_is_tried_every_ten_minutes() -> None:
    schedule = Schedule(declared(), FailingExecutor())
    assert fail(schedule, NOW, SUSPEND_AFTER - 1) < 60
    assert 480 <= fail(schedule, NOW) <= 720
    assert schedule.suspended
    assert 480 <= fail(schedule, NOW) <= 720


def test_an_unreachable_source_is_tried_each_minute_and_never_suspended() -> None:
    schedule = Schedule(declared(), FailingExecutor())
    assert fail(schedule, NOW, 20, fault=False) <= 1.2 * BACK_OFF_S[-1]
    assert not schedule.suspended


def test_our_own_functions_are_never_suspended() -> None:
    schedule = Schedule(declared())
    assert fail(schedule, NOW, 20) <= 1.2 * BACK_OFF_S[-1]
    assert not schedule.suspended


def test_a_failed_run_is_tried_again_before_its_next_time() -> None:
    nightly = Schedule(declared(cron("0 2 * * *")), FailingExecutor(), last=NOW - timedelta(days=1))
    assert nightly.due(NOW) == "cron 0 2 * * *"
    wait_s = fail(nightly, NOW)
    assert nightly.wait_s(NOW) == pytest.approx(wait_s)
    assert nightly.due(NOW + timedelta(seconds=2)) == "cron 0 2 * * *"


def test_a_nightly_function_waits_for_the_night_at_its_first_start() -> None:
    nightly = Schedule(declared(cron("0 2 * * *")))
    assert nightly.due(NOW) is None
    assert nightly.due(NOW + timedelta(hours=13)) is None
    assert nightly.due(NOW + timedelta(hours=14)) == "cron 0 2 * * *"


def test_a_nightly_function_runs_after_a_night_when_the_system_was_down() -> None:
    nightly = Schedule(declared(cron("0 2 * * *")))
    nightly.restore(FunctionState(ran_at=NOW - timedelta(days=2)))
    assert nightly.due(NOW) == "cron 0 2 * * *"


def test_files_set_a_function_off_until_a_run_takes_them(tmp_path: Path) -> None:
    schedule = Schedule(declared(files("drop/*.csv"), rows("metrics")), FailingExecutor())
    schedule.take()
    schedule.note((), {"other/*": {tmp_path / "b"}})
    assert schedule.due(NOW) is None
    schedule.note((), {"drop/*.csv": {tmp_path / "a.csv"}})
    assert schedule.due(NOW) == "files drop/*.csv"
    assert schedule.take()[1] == {tmp_path / "a.csv"}
    assert schedule.due(NOW) is None


def test_a_function_with_more_to_do_is_due_at_once_but_not_after_a_failure() -> None:
    schedule = Schedule(Declared("shop", (every("1h"),), ("metrics",), "", (), ""))
    schedule.ran(NOW, failed=False, more=True)
    assert schedule.due(NOW) == "more to fetch"
    assert schedule.wait_s(NOW) == 0
    schedule.ran(NOW, failed=True)
    assert schedule.due(NOW) is None
    schedule.ran(NOW, failed=False)
    assert schedule.due(NOW + timedelta(minutes=20)) is None
