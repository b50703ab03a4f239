"""The run log: pending and committed runs, and the state that follows from them."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.run_log import (
    FAILURES,
    NOT_COUNTED,
    FunctionState,
    function_state,
)
from functions.engine.runner import Runner
from functions.engine.schedule import Schedule
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.model.schema import OUTCOMES
from tests.conftest import NOW, LakeFixture
from tests.functions.engine.engine_scenes import BAD_FIVE, FailingExecutor, declared, enter_runs

OLD, NEW = "old hash", "new hash"

BROKEN = CodeSource(path="functions/mine.py", text=b"def mine(:")


def run(outcome: str, ts: datetime, **other: Any) -> dict[str, Any]:
    return {"run_id": f"{outcome} {ts}", "function": "mine", "ts": ts, "outcome": outcome} | other


@pytest.fixture
def runner(house: LakeFixture) -> Runner:
    return Runner(house.folders, Settings(), clock=lambda: NOW)


@pytest.mark.parametrize("committed", [False, True])
def test_a_load_failure_is_known_to_other_processes_committed_or_not(
    runner: Runner, house: LakeFixture, committed: bool
) -> None:
    runner.failed_to_load(BROKEN, "SyntaxError: no")
    if committed:
        house.commit()
    other = Runner(house.folders, Settings())
    assert other.run_log.load_failure(BROKEN)["error"] == "SyntaxError: no"


def test_the_failure_of_another_text_is_not_that_of_this_one(runner: Runner) -> None:
    runner.failed_to_load(BROKEN, "SyntaxError: no")
    mended = CodeSource(path=BROKEN.path, text=b"def mine(): ...")
    assert runner.run_log.load_failure(mended) is None


def test_runs_of_the_good_version_do_not_hide_that_the_saved_one_failed(
    runner: Runner, house: LakeFixture
) -> None:
    runner.failed_to_load(BROKEN, "SyntaxError: no")
    later = [run("ok", NOW + timedelta(seconds=i), code_hash="good") for i in range(60)]
    house.put("runs", later)
    house.commit(NOW + timedelta(minutes=2))
    now = Runner(house.folders, Settings(), clock=lambda: NOW + timedelta(minutes=2))
    assert all(entry["outcome"] == "ok" for entry in now.run_log.runs("mine"))
    assert Runner(house.folders, Settings()).run_log.load_failure(BROKEN) is not None


def entry(outcome: str, minutes_ago: float, code_hash: str = OLD) -> dict[str, Any]:
    return {"outcome": outcome, "ts": NOW - timedelta(minutes=minutes_ago), "code_hash": code_hash}


def history(*outcomes: str, code_hash: str = OLD) -> list[dict[str, Any]]:
    """Runs, the newest first."""
    return [entry(outcome, i, code_hash) for i, outcome in enumerate(outcomes)]


def test_every_outcome_is_documented() -> None:
    assert {"ok", "nothing", "resumed", "revived"} | FAILURES | NOT_COUNTED == set(OUTCOMES)


def test_five_failures_in_a_row_suspend_a_function() -> None:
    assert function_state(OLD, history(*BAD_FIVE, "ok")).suspended
    assert not function_state(OLD, history(*BAD_FIVE[:4], "ok", "failed")).suspended


@pytest.mark.parametrize("end", ["ok", "nothing", "resumed", "revived"])
def test_a_good_run_or_a_resume_command_ends_the_series(end: str) -> None:
    assert function_state(OLD, history(end, *BAD_FIVE)).failures == 0


def test_a_changed_source_starts_without_failures() -> None:
    assert function_state(NEW, history(*BAD_FIVE)).failures == 0
    assert function_state(NEW, [entry("failed", 0, NEW), *history(*BAD_FIVE)]).failures == 1


def test_an_unreachable_source_is_not_a_failure_of_the_function() -> None:
    away = history(*["unreachable", "not written"] * 5)
    assert function_state(OLD, away).failures == 0
    assert function_state(OLD, [*away, *history(*BAD_FIVE)]).failures == 5


def test_suspension_survives_a_restart_committed_or_not(house: LakeFixture) -> None:
    first = Runner(house.folders, Settings(), clock=lambda: NOW)
    enter_runs(first, ("crashed", "failed", "timed out"))
    first.flush()
    house.commit()
    enter_runs(first, ("crashed", "failed"))
    first.flush()  # waits in the inbox
    second = Runner(house.folders, Settings(), clock=lambda: NOW)
    state = second.run_log.state(declared())
    assert state.suspended
    schedule = Schedule(declared(), FailingExecutor())
    schedule.restore(state)
    assert schedule.suspended
    assert schedule.due(NOW) is None
    assert schedule.due(NOW + timedelta(minutes=10)) == "every 1 s"


def test_a_replay_of_a_later_time_does_not_change_the_state(tmp_path: Path) -> None:
    runner = Runner(Folders.at(tmp_path).create(), Settings(), clock=lambda: NOW)
    runner.run(declared(), "command", NOW + timedelta(days=9), executor=FailingExecutor())
    assert runner.run_log.state(declared()) == FunctionState()


def test_runs_of_a_clock_that_was_ahead_do_not_end_a_suspension(house: LakeFixture) -> None:
    own = {"function": declared().name, "code_hash": declared().code_hash}
    ahead = [run("ok", NOW + timedelta(minutes=i), **own) for i in range(60, 115)]
    before = [run("failed", NOW - timedelta(minutes=i), **own) for i in range(5)]
    house.put("runs", ahead + before)
    house.commit(NOW + timedelta(hours=2))
    runner = Runner(house.folders, Settings(), clock=lambda: NOW)
    assert runner.run_log.state(declared()).suspended
    assert [r["outcome"] for r in runner.run_log.runs("fragile")[:6]] == [*["failed"] * 5, "ok"]
