from pathlib import Path

import pytest

from scripts.tools.bench.peers.peer import PeerServer, folder_bytes, readings_of, wait_until


def test_the_size_of_a_folder_is_that_of_all_files_below(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "one").write_bytes(b"12345")
    (tmp_path / "a" / "b" / "two").write_bytes(b"123")
    assert folder_bytes(tmp_path) == 8


def test_only_columns_of_readings_are_compared() -> None:
    columns = ["server", "usage_user", "bucket", "usage_idle"]
    assert readings_of(columns, [("a", 1, "x", 2), ("b", 3, "y", 4)]) == [1, 2, 3, 4]


def test_a_server_that_ends_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = PeerServer(["/bin/sh", "-c", "echo no disk; exit 1"], tmp_path / "log")
    with pytest.raises(RuntimeError, match="no disk"):
        server.wait(lambda: False)


def test_a_server_is_waited_for_until_it_is_ready(tmp_path: Path) -> None:
    server = PeerServer(["/bin/sh", "-c", "echo up; exec sleep 60"], tmp_path / "log")
    server.wait(lambda: "up" in (tmp_path / "log").read_text())
    server.close()


def test_waiting_ends_when_the_condition_holds() -> None:
    looks = iter([False, False, True])
    wait_until(lambda: next(looks))
    assert list(looks) == []
