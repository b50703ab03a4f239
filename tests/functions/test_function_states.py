"""Function states: triggers, suspension, next runs, and files that cannot be loaded."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function import Declared
from functions.engine.run_log import LOADING
from functions.engine.triggers import Trigger, every, request, rows
from functions.engine.user_files import FUNCTIONS, LastGoodVersions, LoadedVersion
from functions.engine.window import Window
from functions.function_states import FunctionInfo, function_infos, function_states
from storage.config.folders import Folders
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at


def file_of(folders: Folders, name: str, *on: Trigger) -> CodeSource:
    """A file of the user's; with triggers it was loaded, as far as the folder says."""
    folders.functions.mkdir(exist_ok=True)
    path = folders.functions / f"{name}.py"
    path.write_text(f"# {name}\n")
    if on:
        mine = Declared(name, on, ("metrics",), "Mine.", (), "old hash")
        kept = LoadedVersion(path.read_bytes(), (mine,))
        LastGoodVersions(folders, FUNCTIONS).save(name, kept)
    return FUNCTIONS.sources(folders)[name]


def ended(name: str, count: int, outcome: str = "failed", **changed: Any) -> list[dict[str, Any]]:
    """Runs of a function, one a minute, the newest at NOW."""
    run = {"function": name, "code_hash": "old hash", "trigger": "every", "outcome": outcome}
    return [
        run | {"run_id": f"{name}{i}", "ts": NOW - timedelta(minutes=i), "error": f"boom {i}"}
        | changed
        for i in range(count)
    ]  # fmt: skip


def fill(house: LakeFixture) -> None:
    file_of(house.folders, "fresh")
    file_of(house.folders, "mine", rows("metrics_5m"))
    file_of(house.folders, "sunk", every("5s"))
    file_of(house.folders, "well", every("5m"))
    file_of(house.folders, "calls", request())
    file_of(house.folders, "away", every("5s"))
    torn = file_of(house.folders, "torn")
    cause = {"code_hash": torn.code_hash, "trigger": LOADING, "error": "SyntaxError: line 1"}
    house.put("runs", [
        *ended("sunk", 5), *ended("calls", 7), *ended("well", 1, "ok"),
        *ended("away", 9, "unreachable"), *ended("torn", 1, **cause),
    ])  # fmt: skip
    house.commit()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    with house_at(tmp_path_factory.mktemp("states")) as house:
        fill(house)
        yield Window(house.reader, NOW)


@pytest.fixture(scope="module")
def known(window: Window) -> dict[str, FunctionInfo]:
    return {info.name: info for info in function_infos(window)}


def test_what_is_suspended_is_tried_again_after_ten_minutes(
    known: dict[str, FunctionInfo],
) -> None:
    assert known["sunk"].suspended
    assert known["sunk"].next_at == NOW + timedelta(minutes=10)


def test_what_runs_by_the_clock_says_when_it_is_due(known: dict[str, FunctionInfo]) -> None:
    assert known["well"].next_at == NOW.replace(minute=5, second=0)
    assert (known["well"].runnable, known["well"].file) == (True, "functions/well.py")
    assert known["rollup"].file is None


def test_what_only_answers_calls_is_never_suspended(known: dict[str, FunctionInfo]) -> None:
    assert (known["calls"].suspended, known["calls"].next_at) == (False, None)
    assert not known["calls"].runnable


def test_a_failure_that_is_not_the_functions_fault_does_not_suspend(
    known: dict[str, FunctionInfo],
) -> None:
    assert not known["away"].suspended


def test_a_file_that_cannot_be_loaded_is_listed_with_its_error(
    known: dict[str, FunctionInfo],
) -> None:
    assert (known["torn"].loaded, known["torn"].load_error) == (False, "SyntaxError: line 1")
    assert (known["fresh"].loaded, known["fresh"].load_error) == (False, None)


def test_the_answer_is_json_and_writes_nothing(window: Window) -> None:
    batch = function_states.call(window=window)
    mine = next(each for each in batch.answer["functions"] if each["name"] == "mine")
    assert list(mine["on"]) == ["rows in metrics_5m"]
    assert batch.rows == {}
