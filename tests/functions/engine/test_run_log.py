from datetime import datetime, timedelta
from typing import Any

import pytest

from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.runner import Runner
from storage.config.settings import Settings
from tests.conftest import NOW, LakeFixture

BROKEN = CodeSource(path="functions/mine.py", text=b"def mine(:")


def run(outcome: str, ts: datetime, **other: Any) -> dict[str, Any]:
    return {"run_id": f"{outcome} {ts}", "function": "mine", "ts": ts, "outcome": outcome, **other}


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
    assert other.ledger.load_failure(BROKEN)["error"] == "SyntaxError: no"


def test_the_failure_of_another_text_is_not_that_of_this_one(runner: Runner) -> None:
    runner.failed_to_load(BROKEN, "SyntaxError: no")
    mended = CodeSource(path=BROKEN.path, text=b"def mine(): ...")
    assert runner.ledger.load_failure(mended) is None


def test_runs_of_the_good_version_do_not_hide_that_the_saved_one_failed(
    runner: Runner, house: LakeFixture
) -> None:
    runner.failed_to_load(BROKEN, "SyntaxError: no")
    later = [run("ok", NOW + timedelta(seconds=i), code_hash="good") for i in range(60)]
    house.put("runs", later)
    house.commit(NOW + timedelta(minutes=2))
    assert all(entry["outcome"] == "ok" for entry in runner.ledger.runs("mine"))
    assert Runner(house.folders, Settings()).ledger.load_failure(BROKEN) is not None
