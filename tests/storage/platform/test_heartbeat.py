"""Heartbeats of processes."""

import time
from pathlib import Path

from storage.platform.heartbeat import Heartbeat, heartbeats


def test_a_heartbeat_is_the_time_of_its_file(tmp_path: Path) -> None:
    assert heartbeats(tmp_path / "none") == {}
    before = time.time() - 1
    Heartbeat(tmp_path / "beats", "writer").beat()
    ((name, at),) = heartbeats(tmp_path / "beats").items()
    assert name == "writer"
    assert before <= at <= time.time() + 1


def test_within_a_second_the_file_is_not_touched_again(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path, "engine")
    heartbeat.beat()
    (tmp_path / "engine").unlink()
    heartbeat.beat()
    assert heartbeats(tmp_path) == {}


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    Heartbeat(tmp_path / "file" / "beats", "writer").beat()
    assert heartbeats(tmp_path / "file" / "beats") == {}
