"""Commits and files that wake a loop."""

import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from functions.engine.listeners import CommitListener, FileWatch, WakeEvent, matching
from storage.config.folders import Folders
from storage.inbox.notify import notify
from tests.functions.engine.engine_scenes import WITHIN_S, in_background


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path).create()


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    stop = threading.Event()
    yield stop
    stop.set()


def test_posts_add_up_until_they_are_taken() -> None:
    wake_event = WakeEvent()
    wake_event.post(["metrics"], {"*.csv": {Path("a.csv")}})
    wake_event.post(["runs"], {"*.csv": {Path("b.csv")}})
    assert wake_event.arrived.is_set()
    assert wake_event.take() == ({"metrics", "runs"}, {"*.csv": {Path("a.csv"), Path("b.csv")}})
    assert not wake_event.arrived.is_set()
    assert wake_event.take() == (set(), {})


def test_a_commit_is_posted_to_every_subscriber(folders: Folders, stop: threading.Event) -> None:
    first, second, former = WakeEvent(), WakeEvent(), WakeEvent()
    listener = CommitListener(folders, stop)
    for wake_event in (first, second, former):
        listener.subscribe(wake_event)
    listener.unsubscribe(former)
    for wake_event in (first, second):
        give_up = time.monotonic() + WITHIN_S
        while not wake_event.arrived.wait(0.2):  # commits before the listener watches do not count
            assert time.monotonic() < give_up
            notify(folders, ["metrics"])
        assert "metrics" in wake_event.take()[0]
    assert former.take() == (set(), {})


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("drop/*.csv", {"drop/a.csv"}),
        ("drop/**/*.csv", {"drop/a.csv", "drop/deep/b.csv"}),
        ("drop/deep/b.csv", {"drop/deep/b.csv"}),
        ("nowhere/*.csv", set()),
    ],
)
def test_a_pattern_matches_files_below_the_data_folder(
    folders: Folders, pattern: str, expected: set[str]
) -> None:
    (folders.data / "drop" / "deep").mkdir(parents=True)
    for name in ("drop/a.csv", "drop/deep/b.csv", "drop/c.txt"):
        (folders.data / name).touch()
    assert {str(p.relative_to(folders.data)) for p in matching(folders, pattern)[0]} == expected


def test_an_absolute_pattern_matches_outside_of_the_data_folder(
    folders: Folders, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.csv").touch()
    assert list(matching(folders, f"{outside}/*.csv")[0]) == [outside / "a.csv"]


def test_no_link_and_nothing_behind_one_is_handed_over(folders: Folders) -> None:
    drop = folders.data / "drop"
    (folders.data / "secrets").mkdir()
    (folders.data / "secrets" / "b.csv").touch()
    drop.mkdir()
    (drop / "a.csv").symlink_to(folders.data / "secrets" / "b.csv")
    (drop / "deep").symlink_to(folders.data / "secrets")
    os.mkfifo(drop / "c.csv")
    assert matching(folders, "drop/*.csv") == ({}, {drop / "a.csv"})
    assert matching(folders, "drop/*/*.csv") == ({}, {drop / "deep" / "b.csv"})


def test_files_that_are_older_than_the_last_run_are_not_posted(
    folders: Folders, stop: threading.Event
) -> None:
    drop, wake_event = folders.data / "drop", WakeEvent()
    drop.mkdir()
    (drop / "old.csv").touch()
    since = datetime.fromtimestamp(os.stat(drop / "old.csv").st_ctime, UTC) + timedelta(seconds=1)
    watch = FileWatch(folders, "drop/*.csv", since, wake_event)
    with in_background(partial(_follow, watch), stop):
        assert not wake_event.arrived.wait(0.3)
        (drop / "new.csv").touch()
        os.utime(drop / "new.csv")
        assert wake_event.arrived.wait(WITHIN_S)
    assert wake_event.take()[1] == {"drop/*.csv": {drop / "new.csv"}}


def _follow(watch: FileWatch, stop: threading.Event) -> None:
    watch.keep_going(stop)
