import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.engine.executors.executor import CallRequest, CallResult, RunStopped
from functions.engine.executors.worker_protocol import Raised
from functions.engine.function import Declared
from functions.engine.listeners import CommitListener, WakeEvent
from functions.engine.run_log import (
    FAILURES,
    PARDONED,
    SUSPEND_AFTER,
    FunctionState,
    function_state,
)
from functions.engine.runner import Runner
from functions.engine.schedule import BACK_OFF_S, Schedule
from functions.engine.scheduler import SchedulerLoop
from functions.engine.triggers import Trigger, cron, every, files, rows
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.model.schema import OUTCOMES
from tests.conftest import NOW, LakeFixture
from tests.functions.engine.engine_scenes import Watched, in_background

OLD, NEW = "old hash", "new hash"


def declared(*on: Trigger, code_hash: str = OLD) -> Declared:
    return Declared("fragile", on or (every("1s"),), ("scenarios",), "Fail.", (), code_hash)


class FailingFunction:
    """Hands that fail in the way they are told."""

    def __init__(self, outcome: str = "crashed") -> None:
        self.outcome = outcome
        self.calls = 0

    def call(self, function: Declared, asked: CallRequest) -> CallResult:
        self.calls += 1
        raise RunStopped(self.outcome, f"{function.name} at {asked.now}")


def entry(outcome: str, minutes_ago: float, code_hash: str = OLD) -> dict[str, Any]:
    return {"outcome": outcome, "ts": NOW - timedelta(minutes=minutes_ago), "code_hash": code_hash}


def history(*outcomes: str, code_hash: str = OLD) -> list[dict[str, Any]]:
    """Runs, the newest first."""
    return [entry(outcome, i, code_hash) for i, outcome in enumerate(outcomes)]


BAD_FIVE = ("failed", "crashed", "timed out", "out of memory", "failed")


def test_every_way_to_end_is_documented() -> None:
    assert {"ok", "nothing", "revived"} | FAILURES | PARDONED == set(OUTCOMES)


def test_five_failures_in_a_row_park_a_function() -> None:
    assert function_state(OLD, history(*BAD_FIVE, "ok")).parked
    assert not function_state(OLD, history(*BAD_FIVE[:4], "ok", "failed")).parked


@pytest.mark.parametrize("end", ["ok", "nothing", "revived"])
def test_a_good_run_or_a_persons_word_ends_the_row(end: str) -> None:
    assert function_state(OLD, history(end, *BAD_FIVE)).failures == 0


def test_another_source_starts_anew() -> None:
    assert function_state(NEW, history(*BAD_FIVE)).failures == 0
    assert function_state(NEW, [entry("failed", 0, NEW), *history(*BAD_FIVE)]).failures == 1


def test_a_source_that_is_away_is_no_failure_of_the_function() -> None:
    away = history(*["unreachable", "not written"] * 5)
    assert function_state(OLD, away).failures == 0
    assert function_state(OLD, [*away, *history(*BAD_FIVE)]).failures == 5


def fail(schedule: Schedule, moment: datetime, times: int = 1, fault: bool = True) -> float:
    """Let it fail; how long it waits after the last time."""
    for _ in range(times):
        schedule.ran(moment, failed=True, fault=fault)
    assert schedule.not_before is not None
    return (schedule.not_before - moment).total_seconds()


def test_a_parked_function_is_tried_every_ten_minutes() -> None:
    schedule = Schedule(declared(), FailingFunction())
    assert fail(schedule, NOW, SUSPEND_AFTER - 1) < 60
    assert 480 <= fail(schedule, NOW) <= 720
    assert schedule.parked
    assert 480 <= fail(schedule, NOW) <= 720


def test_a_source_that_is_away_is_asked_again_each_minute_and_never_parked() -> None:
    schedule = Schedule(declared(), FailingFunction())
    assert fail(schedule, NOW, 20, fault=False) <= 1.2 * BACK_OFF_S[-1]
    assert not schedule.parked


def test_our_own_functions_are_never_parked() -> None:
    schedule = Schedule(declared())
    assert fail(schedule, NOW, 20) <= 1.2 * BACK_OFF_S[-1]
    assert not schedule.parked


def test_a_failed_run_is_tried_again_before_its_next_time() -> None:
    nightly = Schedule(declared(cron("0 2 * * *")), FailingFunction(), last=NOW - timedelta(days=1))
    assert nightly.due(NOW) == "cron 0 2 * * *"
    wait_s = fail(nightly, NOW)
    assert nightly.wait_s(NOW) == pytest.approx(wait_s)
    assert nightly.due(NOW + timedelta(seconds=2)) == "cron 0 2 * * *"


def test_a_nightly_function_waits_for_the_night_at_its_very_first_start() -> None:
    nightly = Schedule(declared(cron("0 2 * * *")))
    assert nightly.due(NOW) is None
    assert nightly.due(NOW + timedelta(hours=13)) is None
    assert nightly.due(NOW + timedelta(hours=14)) == "cron 0 2 * * *"


def test_a_nightly_function_makes_up_for_a_night_that_the_system_was_down() -> None:
    nightly = Schedule(declared(cron("0 2 * * *")))
    nightly.resume(FunctionState(ran_at=NOW - timedelta(days=2)))
    assert nightly.due(NOW) == "cron 0 2 * * *"


def test_files_set_it_off_until_a_run_has_gone_well(tmp_path: Path) -> None:
    schedule = Schedule(declared(files("drop/*.csv"), rows("metrics")), FailingFunction())
    schedule.take()
    schedule.note((), {"other/*": {tmp_path / "b"}})
    assert schedule.due(NOW) is None
    schedule.note((), {"drop/*.csv": {tmp_path / "a.csv"}})
    assert schedule.due(NOW) == "files drop/*.csv"
    assert schedule.take()[1] == {tmp_path / "a.csv"}
    assert schedule.due(NOW) is None


def ledger_of(runner: Runner, outcomes: tuple[str, ...]) -> None:
    for i, outcome in enumerate(outcomes):
        function = declared(every("5s"), code_hash=OLD)
        moment = runner.clock() - timedelta(seconds=60 - i)
        if outcome == "ok":
            runner.ledger.enter(
                dict(runner.run(function, "t", moment, dry=True).entry, outcome="ok")
            )
        else:
            runner.run(function, "test", moment, executor=FailingFunction(outcome))


def test_parking_survives_a_restart_committed_or_not(house: LakeFixture) -> None:
    first = Runner(house.folders, Settings(), clock=lambda: NOW)
    ledger_of(first, ("crashed", "failed", "timed out"))
    first.flush()
    house.commit()
    ledger_of(first, ("crashed", "failed"))
    first.flush()  # waits in the inbox
    second = Runner(house.folders, Settings(), clock=lambda: NOW)
    standing = second.ledger.standing(declared())
    assert standing.parked
    schedule = Schedule(declared(), FailingFunction())
    schedule.resume(standing)
    assert schedule.parked
    assert schedule.due(NOW) is None
    assert schedule.due(NOW + timedelta(minutes=10)) == "every 1 s"


def test_a_replay_of_a_time_to_come_says_nothing_of_the_present(tmp_path: Path) -> None:
    runner = Runner(Folders.at(tmp_path).create(), Settings(), clock=lambda: NOW)
    runner.run(declared(), "command", NOW + timedelta(days=9), executor=FailingFunction())
    assert runner.ledger.standing(declared()) == FunctionState()


def test_a_function_before_the_lake_is_there_waits_and_is_not_to_blame(tmp_path: Path) -> None:
    class Early:
        def call(self, *_: object) -> CallResult:
            raise RunStopped("failed", "no lake yet", raised=Raised("LakeMissing", "no lake yet"))

    runner = Runner(Folders.at(tmp_path).create(), Settings(), clock=lambda: NOW)
    run = runner.run(declared(), "test", executor=Early())
    assert (run.waits, run.is_fault) == (True, False)
    assert runner.ledger.runs("fragile") == []


def test_a_parked_function_runs_at_once_when_a_person_revives_it(house: LakeFixture) -> None:
    runner, executor, stop = Watched(house.folders), FailingFunction(), threading.Event()
    schedule, mailbox = Schedule(declared(), executor), WakeEvent()
    for _ in range(SUSPEND_AFTER):
        schedule.ran(runner.clock(), failed=True)
    ledger_of(runner, BAD_FIVE)
    CommitListener(house.folders, stop).subscribe(mailbox)
    with in_background(SchedulerLoop(runner, [schedule], mailbox).keep_going, stop):
        before = executor.calls
        Runner(house.folders, Settings()).revive(declared())  # as the command does
        house.commit(runner.clock())
        runner.until(lambda: executor.calls > before, "the revived function runs")
    assert schedule.failures == 1
