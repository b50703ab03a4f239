"""Calls in this process: what a function is handed, and what it sees of the lake."""

from datetime import timedelta
from pathlib import Path

import pytest

from functions.engine.executors.executor import CostMeter, InProcessExecutor, error_text, outcome_of
from functions.engine.executors.function_call import CallRequest
from functions.engine.function import Batch, DeprecatedArgument, Unreachable, function
from functions.engine.serving_model import ServingModel
from functions.engine.triggers import every
from functions.engine.window import Window
from storage.config.settings import Settings
from storage.errors import LakeMissing, LakeUnreadable
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


def test_the_former_argument_name_is_handed_the_same_model(executor: InProcessExecutor) -> None:
    handed = []

    def mine(model: object, shelf: object) -> Batch:
        handed.extend([model, shelf])
        return Batch()

    with pytest.warns(DeprecatedArgument):
        registered = function(on=every("1s"), writes="scenarios")(mine)
    executor.call(registered, CallRequest(NOW))
    assert isinstance(handed[0], ServingModel)
    assert handed[0] is handed[1]


def test_a_function_without_a_section_of_the_settings_says_so(executor: InProcessExecutor) -> None:
    @function(on=every("1s"), writes="scenarios")
    def mine(settings: object) -> Batch:
        raise AssertionError(settings)

    with pytest.raises(TypeError, match=r"no section \[sources.mine\]: leave the argument out"):
        executor.call(mine, CallRequest(NOW))


@pytest.mark.parametrize(
    ("error", "outcome", "text"),
    [
        (Unreachable("it is away"), "unreachable", "it is away"),
        (ConnectionResetError("gone"), "unreachable", "ConnectionResetError: gone"),
        (LakeUnreadable("damaged", "repair it"), "unreachable", "LakeUnreadable: damaged: repair"),
        (LakeMissing(Path("var")), "failed", "LakeMissing: no lake in var"),
        (KeyError("k"), "failed", "KeyError: 'k'"),
    ],
)
def test_what_was_away_is_not_the_fault_of_the_function(
    error: Exception, outcome: str, text: str
) -> None:
    assert outcome_of(error) == outcome
    assert error_text(error).startswith(text)


def test_a_cost_counts_the_work_of_this_process() -> None:
    meter = CostMeter()
    sum(i * i for i in range(300_000))
    cost = meter.cost()
    assert cost.cpu_s > 0
    assert cost.peak_rss_mb > 20
