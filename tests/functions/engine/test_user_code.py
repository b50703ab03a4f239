import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from functions.engine.executors.subprocess_executor import WorkerFactory
from functions.engine.function_endpoint import FunctionEndpoint
from functions.engine.listeners import CommitListener
from functions.engine.user_code import UserCode
from functions.engine.user_files import LastGoodVersions
from storage.config.folders import Folders
from storage.config.settings import Settings
from tests.functions.engine.engine_scenes import WITHIN_S, Watched, in_background, save

SCHEDULED = '@function(on=every("100ms"), writes="server_facts")\n'
FIRST = SCHEDULED + 'def beat(now): return facts(now, "first")\n'
SECOND = SCHEDULED + "def beat(now): return Batch()\n"
BROKEN = SCHEDULED + "def beat(now: return facts(now)\n"


class UserCodeScene:
    """The user's folder and what runs of it."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.runner = Watched(folders)
        self.stop = threading.Event()
        commits = CommitListener(folders, self.stop)
        self.worker_factory = WorkerFactory(folders, Settings())
        self.users = UserCode(self.runner, self.worker_factory, commits)

    def hash_of(self, function: str, outcome: str) -> str:
        return str(self.runner.of(function, outcome)[-1]["code_hash"])


@contextmanager
def running(folders: Folders) -> Iterator[UserCodeScene]:
    scene = UserCodeScene(folders)
    with in_background(scene.users.keep_watch, scene.stop):
        yield scene


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path).create()


def test_a_saved_file_is_live_without_a_restart(folders: Folders) -> None:
    with running(folders) as scene:
        save(folders, "mine", FIRST)
        first = scene.runner.until_run("beat", "ok")
        save(folders, "mine", SECOND)
        second = scene.runner.until_run("beat", "nothing")
        assert first["code_hash"] != second["code_hash"]
        assert scene.runner.of("beat")[-1]["outcome"] == "nothing"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (BROKEN, "SyntaxError"),
        ("import nowhere\n", "No module named 'nowhere'"),
        (FIRST.replace("server_facts", "nowhere"), "no table 'nowhere'"),
        ("", "no function in it"),
    ],
)
def test_an_error_leaves_the_last_good_version_running_and_says_so(
    folders: Folders, body: str, says: str
) -> None:
    with running(folders) as scene:
        save(folders, "mine", FIRST)
        scene.runner.until_run("beat")
        save(folders, "mine", body)
        failed = scene.runner.until_run("mine", "failed")
        scene.runner.until_run("beat", times=len(scene.runner.of("beat")) + 3)
    assert says in failed["error"]
    assert failed["trigger"] == "its source"
    assert {run["outcome"] for run in scene.runner.of("beat")} == {"ok"}


def test_the_last_good_version_runs_also_after_a_restart(folders: Folders) -> None:
    with running(folders) as scene:
        save(folders, "mine", FIRST)
        good = scene.runner.until_run("beat")["code_hash"]
    save(folders, "mine", BROKEN)
    with running(folders) as scene:
        scene.runner.until_run("mine", "failed")
        assert scene.runner.until_run("beat")["code_hash"] == good


def test_a_file_that_others_can_write_leaves_the_last_good_version_running(
    folders: Folders,
) -> None:
    with running(folders) as scene:
        path = save(folders, "mine", FIRST)
        good = scene.runner.until_run("beat")["code_hash"]
        path.chmod(0o666)
        failed = scene.runner.until_run("mine", "failed")
        scene.runner.until_run("beat", times=len(scene.runner.of("beat")) + 2)
    assert "other users can write to" in failed["error"]
    assert {run["code_hash"] for run in scene.runner.of("beat")} == {good}


def test_a_file_that_is_mended_goes_on_with_its_new_version(folders: Folders) -> None:
    save(folders, "mine", BROKEN)
    with running(folders) as scene:
        scene.runner.until_run("mine", "failed")
        save(folders, "mine", SECOND)
        scene.runner.until_run("beat", "nothing")


def test_a_removed_file_runs_no_more_and_is_forgotten(folders: Folders) -> None:
    path = save(folders, "mine", FIRST)
    save(folders, "other", SECOND.replace("beat", "other"))
    with running(folders) as scene:
        scene.runner.until_run("beat")
        path.unlink()
        scene.runner.until(
            lambda: [f.name for f, _ in scene.users.functions()] == ["other"], "it is gone"
        )
        count = len(scene.runner.of("beat"))
        scene.runner.until_run("other", "nothing", len(scene.runner.of("other")) + 3)
        assert len(scene.runner.of("beat")) == count
        assert LastGoodVersions(folders).load("mine") is None


def test_helpers_may_be_imported_and_are_no_functions(folders: Folders) -> None:
    folders.functions.mkdir()
    helper = folders.functions / "_names.py"
    helper.write_text("NAME = 'first'\n")
    save(folders, "test_mine", "1 / 0\n")
    save(folders, "mine", "from _names import NAME\n" + FIRST.replace('"first"', "NAME * 40"))
    with running(folders) as scene:
        scene.runner.until_run("beat")
        helper.write_text("from nowhere import NAME\n")
        failed = scene.runner.until_run("mine", "failed")
    assert "nowhere" in failed["error"]
    assert {run["function"] for run in scene.runner.entries} == {"beat", "mine"}


@pytest.mark.parametrize("name", ["forecast", "host", "beat"])
def test_a_name_that_is_taken_is_refused(folders: Folders, name: str) -> None:
    save(folders, "a_first", FIRST)
    with running(folders) as scene:
        scene.runner.until_run("beat")
        save(folders, "thief", FIRST.replace("beat", name))
        error = scene.runner.until_run("thief", "failed")["error"]
    owner = "a_first" if name == "beat" else "hoursight"
    assert f"there is a function {name!r} in {owner!r} already" in error


def test_a_file_may_be_called_like_a_module_of_python(folders: Folders) -> None:
    save(folders, "json", FIRST + "import json\njson.dumps({})\n")
    save(folders, "storage", FIRST.replace("beat", "store"))
    with running(folders) as scene:
        scene.runner.until_run("beat")
        scene.runner.until_run("store")


def test_files_that_come_into_a_folder_are_handed_over(folders: Folders) -> None:
    body = (
        '@function(on=files("drop/**/*.csv"), writes="server_facts")\n'
        "def take(now, paths): return pa.concat_tables(facts(now, p.name) for p in paths)\n"
    )
    save(folders, "taker", body)
    drop = folders.data / "drop" / "deep"
    drop.mkdir(parents=True)
    (drop / "early.csv").write_text("1")
    with running(folders) as scene:
        scene.runner.until_run("take")
        (folders.data / "drop" / "late.csv").write_text("2")
        (folders.data / "drop" / "late.txt").write_text("3")
        second = scene.runner.until_run("take", times=2)
    assert second["rows_out"] == 1
    with running(folders) as scene:  # what was taken is not taken again
        (drop / "later.csv").write_text("4")
        assert scene.runner.until_run("take")["rows_out"] == 1


CALLABLE = '@function(on=request(), writes="server_facts")\ndef mine(now): return facts(now)\n'


def test_calls_are_answered_while_a_new_version_replaces_the_old_one(folders: Folders) -> None:
    scene = UserCodeScene(folders)
    endpoint = FunctionEndpoint(scene.runner, scene.worker_factory, scene.users)
    call = msgspec.json.encode({"name": "mine", "dry_run": True})
    save(folders, "mine", CALLABLE)
    scene.users.refresh()
    former, statuses = scene.users.source_workers["mine"], []
    stop = former.stop

    def stop_during_a_call() -> None:
        statuses.append(endpoint.answer(call)[0])
        stop()

    former.stop = stop_during_a_call  # type: ignore[method-assign]
    save(folders, "mine", CALLABLE + "# changed\n")
    scene.users.refresh()
    statuses.append(endpoint.answer(call)[0])
    scene.users.source_workers["mine"].stop()
    scene.stop.set()
    assert statuses == [200, 200]


def test_the_new_version_starts_its_schedule_after_the_old_one_has_ended(folders: Folders) -> None:
    slow = SCHEDULED + 'def beat(): open("began", "w").close(); time.sleep(60)\n'
    with running(folders) as scene:
        save(folders, "mine", slow)
        give_up = time.monotonic() + WITHIN_S
        while not (folders.data / "began").exists():
            assert time.monotonic() < give_up, "the first run has not begun in time"
            time.sleep(0.05)
        save(folders, "mine", SECOND)
        scene.runner.until_run("beat", "nothing")
    assert {run["outcome"] for run in scene.runner.of("beat")} == {"nothing"}
