"""The writer process: its commit loop and single steps of maintenance."""

import logging
import threading
from functools import partial

import duckdb
import pytest

from storage.__main__ import commit_all, commit_loop, run_next_step, warn_of_open_paths
from storage.lake.attach import ReadersBusy
from tests.conftest import NOW, LakeFixture
from tests.storage.stop_events import NoWait

WITHIN_S = 60.0
ROW = {"ts": NOW, "scenario": "healthy"}


def fail(error: Exception) -> None:
    raise error


def test_the_loop_commits_what_arrives_until_it_is_stopped(house: LakeFixture) -> None:
    stop, path = threading.Event(), house.put("scenarios", [ROW])
    loop = threading.Thread(target=partial(commit_loop, house.writer, house.folders, stop))
    loop.start()
    later = house.put("scenarios", [ROW | {"scenario": "mixed"}])
    waiting = threading.Event()
    for _ in range(int(WITHIN_S / 0.05)):
        if not path.exists() and not later.exists():
            break
        waiting.wait(0.05)
    stop.set()
    loop.join(WITHIN_S)
    assert not loop.is_alive()
    assert house.one("SELECT count(*) FROM segments") == 2


def test_the_inbox_is_emptied_and_rejected_files_are_logged(
    house: LakeFixture, caplog: pytest.LogCaptureFixture
) -> None:
    house.put("scenarios", [ROW])
    (house.folders.inbox / "z.parquet").write_text("not Parquet")
    with caplog.at_level(logging.INFO):
        commit_all(house.writer, NoWait())
    assert list(house.folders.inbox.iterdir()) == []
    assert any(m.startswith("rejected z.parquet: truncated") for m in caplog.messages)
    assert "1 scenarios, 1 segments" in caplog.messages


def test_a_stopped_writer_begins_no_commit(house: LakeFixture) -> None:
    path = house.put("scenarios", [ROW])
    stop = threading.Event()
    stop.set()
    commit_all(house.writer, stop)
    assert path.exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ReadersBusy("a reader took longer than 2 s"), "merge postponed to the next maintenance"),
        (duckdb.IOException("odd"), "maintenance failed, to be tried again in 5 minutes: odd"),
    ],
)
def test_a_failed_step_is_logged_and_the_next_one_runs(
    house: LakeFixture, caplog: pytest.LogCaptureFixture, error: Exception, message: str
) -> None:
    done: list[str] = []
    steps = iter([partial(fail, error), partial(done.append, "next")])
    with caplog.at_level(logging.INFO):
        run_next_step(steps, house.writer)
        run_next_step(steps, house.writer)
        run_next_step(steps, house.writer)  # nothing is left
    assert done == ["next"]
    assert any(m.startswith(message) for m in caplog.messages)


def test_a_writer_warns_of_a_data_folder_that_others_can_read(
    house: LakeFixture, caplog: pytest.LogCaptureFixture
) -> None:
    data = house.folders.data
    warn_of_open_paths(house.folders)
    data.chmod(0o755)
    warn_of_open_paths(house.folders)
    assert caplog.messages == [
        f"other users of this machine can reach {data} (mode 755): 'hoursight doctor --fix' closes "
        "the data folder"
    ]
