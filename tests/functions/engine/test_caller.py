"""Calls from beside the running system."""

from pathlib import Path

import pytest

from functions.engine.caller import CallFailed, FunctionCaller
from functions.engine.executors.subprocess_executor import LoadFailed
from functions.engine.function_catalog import UnknownFunction
from functions.engine.user_files import LastGoodVersions
from storage.config.folders import Folders
from storage.config.settings import SettingsError
from tests.conftest import NOW
from tests.functions.engine.engine_scenes import save

MINE = '@function(on=request("path"), writes="server_facts")\ndef mine(now): return facts(now)\n'


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path).create()


def test_a_call_loads_the_file_as_it_is_saved_and_leaves_its_rows_in_the_inbox(
    folders: Folders,
) -> None:
    save(folders, "mine", MINE)
    run = FunctionCaller.at(folders.data).call("path", NOW)
    assert run.batch.rows["server_facts"].to_pylist() == [{"server": "a", "ts": NOW}]
    assert len(list(folders.inbox.glob("*-server_facts-*.parquet"))) == 1


def test_a_dry_call_writes_nothing(folders: Folders) -> None:
    save(folders, "mine", MINE)
    assert FunctionCaller.at(folders.data).call("mine", NOW, dry=True).outcome == "ok"
    assert list(folders.inbox.iterdir()) == []


def test_only_the_file_of_that_name_is_loaded(folders: Folders) -> None:
    save(folders, "mine", MINE)
    save(folders, "other", "1 / 0\n")
    assert FunctionCaller.at(folders.data).find("mine").function.name == "mine"
    assert LastGoodVersions(folders).load("other") is None


def test_a_file_with_an_error_is_called_in_its_last_good_version(folders: Folders) -> None:
    save(folders, "mine", MINE)
    good = FunctionCaller.at(folders.data).find("mine").source
    save(folders, "mine", "1 / 0\n")
    assert FunctionCaller.at(folders.data).find("mine").source == good


def test_a_file_without_a_good_version_cannot_be_called(folders: Folders) -> None:
    save(folders, "mine", "1 / 0\n")
    caller = FunctionCaller.at(folders.data)
    with pytest.raises(LoadFailed, match="mine cannot be loaded: ZeroDivisionError"):
        caller.find("mine")
    with pytest.raises(CallFailed, match="mine cannot be loaded: ZeroDivisionError"):
        caller.call("mine")
    with pytest.raises(UnknownFunction, match="no function 'nobody'"):
        caller.call("nobody")


def test_a_function_that_raises_is_a_failed_call(folders: Folders) -> None:
    save(folders, "mine", MINE.replace("facts(now)", "{}['key']"))
    with pytest.raises(CallFailed, match="mine failed: KeyError: 'key'"):
        FunctionCaller.at(folders.data).call("mine")


def test_wrong_settings_are_refused_before_anything_runs(folders: Folders) -> None:
    folders.settings.write_text("nonsense = 1\n")
    with pytest.raises(SettingsError, match="nonsense"):
        FunctionCaller.at(folders.data)
