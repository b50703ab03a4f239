"""Calls in this process: what a function is handed, and what it sees of the lake."""

from datetime import timedelta

import pytest

from functions.engine.executors.executor import InProcessExecutor
from functions.engine.executors.function_call import CallRequest
from functions.engine.function import Batch, function
from functions.engine.triggers import every
from functions.engine.window import Window
from storage.config.settings import Settings
from storage.lake.maintenance import merge
from storage.model.schema import table
from tests.conftest import NOW, LakeFixture

COUNT = "SELECT count(*) AS n FROM scenarios"


@pytest.fixture
def executor(house: LakeFixture) -> InProcessExecutor:
    return InProcessExecutor(house.folders, Settings())


def commit_scenario(house: LakeFixture, second: int) -> None:
    house.put("scenarios", [{"ts": NOW + timedelta(seconds=second), "scenario": "healthy"}])
    house.commit()


def test_all_queries_of_a_run_see_one_snapshot_while_commits_and_a_merge_proceed(
    house: LakeFixture, executor: InProcessExecutor
) -> None:
    counts = []

    @function(on=every("1s"), writes="scenarios")
    def counting(window: Window) -> Batch:
        counts.append(window.sql(COUNT)["n"][0].as_py())
        commit_scenario(house, 2)
        commit_scenario(house, 3)
        merge(house.writer._connection, table("scenarios"), patience_s=0)
        counts.append(window.sql(f"{COUNT} WHERE scenario <> $x", x="")["n"][0].as_py())
        counts.append(window.sql(COUNT.replace("scenarios", "lake.scenarios"))["n"][0].as_py())
        return Batch()

    commit_scenario(house, 1)
    before = house.reader.snapshot()
    result = executor.call(counting, CallRequest(NOW))
    assert counts == [1, 1, 1]
    assert result.input_snapshot == before
    assert house.one(COUNT) == 3
