import asyncio
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.config.folders import Folders
from storage.inbox.notify import (
    last_commit,
    notify,
    pending_segments,
    table_changes,
    watch_table_changes,
)
from tests.conftest import NOW, LakeFixture


def test_commits_reach_a_page_that_listens(tmp_path: Path) -> None:
    async def listen() -> frozenset[str]:
        stop = asyncio.Event()
        stream = table_changes(tmp_path, stop)
        changes = asyncio.ensure_future(anext(stream))
        while not changes.done():  # the watcher may still be starting
            notify(Folders.at(tmp_path).create(), ["metrics"])
            await asyncio.wait([changes], timeout=0.1)
        stop.set()
        return changes.result()

    assert asyncio.run(asyncio.wait_for(listen(), 20)) == {"metrics"}


def test_a_thread_hears_nothing_when_nothing_comes(tmp_path: Path) -> None:
    stream = watch_table_changes(tmp_path, threading.Event(), timeout_ms=10)
    assert next(stream) == frozenset()


def test_the_length_of_the_inbox_and_the_last_commit_are_known(house: LakeFixture) -> None:
    assert last_commit(house.folders.data, datetime.now(UTC)) is None
    house.put("scenarios", [{"ts": NOW, "scenario": "healthy"}])
    assert pending_segments(house.folders.data) == 1
    house.commit()
    assert pending_segments(house.folders.data) == 0
    assert last_commit(house.folders.data, datetime.now(UTC)) is not None


def test_a_commit_ahead_of_the_clock_is_not_the_last_one(house: LakeFixture) -> None:
    notify(house.folders, ("metrics", "runs"))
    os.utime(house.folders.announce / "metrics", (NOW.timestamp(), NOW.timestamp()))
    ahead = (NOW + timedelta(hours=2)).timestamp()
    os.utime(house.folders.announce / "runs", (ahead, ahead))
    assert last_commit(house.folders.data, NOW + timedelta(minutes=1)) == NOW
    assert last_commit(house.folders.data, NOW - timedelta(days=1)) is None
