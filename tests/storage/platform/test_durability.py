"""Disks that are full or read-only: nothing is lost, and it is said what to do."""

import errno
import logging
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from storage.__main__ import commit_all, run_next_step
from storage.config.folders import Folders
from storage.inbox import segment
from storage.inbox.segment import Provenance, SegmentNotWritten
from storage.lake.hash_manifest import FileHash, HashManifest
from storage.lake.writer import DataFolderNotWritable, Writer
from storage.model.schema import table
from storage.platform.durability import disk_problem, file_problem, sync_file
from storage.query.reader import QueryFailed, Reader
from tests.conftest import NOW, LakeFixture
from tests.storage.stop_events import NoWait

SIZE = "24m"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "hoursight-test", str(place)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def small(disk: Path) -> Iterator[LakeFixture]:
    """A lake on the small disk."""
    writer = Writer.open(disk)
    reader = Reader.open(disk)
    yield LakeFixture(Folders.at(disk), writer, reader)
    reader.close()
    writer.close()


def put(house: LakeFixture, number: int) -> None:
    when = NOW - timedelta(seconds=number)
    house.put(
        "metrics", [{"server": f"s{i}", "ts": when, "load_average": i * 0.37} for i in range(200)]
    )


def fill_up(place: Path) -> Path:
    """Take all the room that is left."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65536)):
            pass
    return ballast


def test_rows_for_a_full_disk_are_refused_and_leave_no_file(small: LakeFixture) -> None:
    fill_up(small.folders.data)
    with pytest.raises(SegmentNotWritten, match=r"200 rows were not taken: the disk of .* is full"):
        put(small, 1)
    assert not list(small.folders.inbox.glob("*.partial"))


def test_a_full_disk_loses_no_accepted_row(
    small: LakeFixture, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(30):
        put(small, number)
    ballast = fill_up(small.folders.data)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            commit_all(small.writer, NoWait())
    assert "free some space there, and work resumes by itself" in caplog.text
    assert len(list(small.folders.inbox.glob("*.parquet"))) == 30
    ballast.unlink()
    commit_all(small.writer, NoWait())
    assert small.one("SELECT count(*) FROM metrics") == 30 * 200
    assert small.one("SELECT count(DISTINCT (server, ts)) FROM metrics") == 30 * 200
    assert list(small.folders.inbox.iterdir()) == []


def test_maintenance_on_a_full_disk_changes_no_row(small: LakeFixture) -> None:
    for number in range(4):
        put(small, number)
        small.commit()
    ballast = fill_up(small.folders.data)
    steps = small.writer.maintenance_steps(NOW)
    for _ in range(60):
        run_next_step(steps, small.writer)
    ballast.unlink()
    small.writer.run_maintenance(NOW)
    assert small.one("SELECT count(*) FROM metrics") == 800


def test_a_query_that_the_full_disk_stops_says_so(small: LakeFixture) -> None:
    put(small, 1)
    small.commit()
    ballast = fill_up(small.folders.data)
    with pytest.raises(QueryFailed, match="is full: free some space there"):
        small.one("SELECT count(*) FROM metrics")
    ballast.unlink()
    assert small.one("SELECT count(*) FROM metrics") == 200


def test_a_read_only_disk_is_reported_with_the_remedy_and_can_be_read(disk: Path) -> None:
    Writer.open(disk).close()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    provenance = Provenance("scenarios", "test", NOW)
    remedy = "is read-only: mount it read-write, or name another --data"
    with pytest.raises(DataFolderNotWritable, match=remedy):
        Writer.open(disk)
    with closing(Reader.open(disk)) as reader:
        assert reader.query("SELECT count(*) AS n FROM metrics")["n"].to_pylist() == [0]
    with pytest.raises(SegmentNotWritten, match=remedy):
        segment.write(Folders.at(disk), table("scenarios").arrow.empty_table(), provenance)


def test_a_missing_disk_is_reported(tmp_path: Path) -> None:
    assert disk_problem(tmp_path) is None
    assert "cannot be reached" in str(disk_problem(tmp_path / "gone"))


def test_a_folder_without_write_permission_is_reported(tmp_path: Path) -> None:
    denied = OSError(errno.EACCES, "Permission denied")
    assert "this user may not write" in str(disk_problem(tmp_path, denied))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_file_that_cannot_be_synced_leaves_no_descriptor_open(tmp_path: Path) -> None:
    for name in ("x.parquet", "hashes"):
        (tmp_path / name).symlink_to("/dev/null")  # fsync refuses a device
    for sync in (
        lambda: sync_file(tmp_path / "x.parquet"),
        lambda: HashManifest(tmp_path).add({"a": FileHash("00", 1)}),
    ):
        before = open_files()
        with pytest.raises(OSError, match="Invalid argument"):
            sync()
        assert open_files() == before


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENAMETOOLONG, "File name too long", "/etc/" + "x" * 300), "xx cannot be us"),
        (OSError(errno.ELOOP, "Too many levels", "/etc/loop/x"), "/etc/loop/x cannot be used (Too"),
        (OSError(errno.ENOSPC, "No space left"), "a file could not be written (No space left)"),
        (PermissionError(errno.EACCES, "denied", "/etc/x"), "this user may not write to /etc"),
    ],
)
def test_an_error_of_a_file_is_a_sentence(error: OSError, says: str) -> None:
    assert says in str(file_problem(error))


def test_an_error_of_no_file_is_not_explained() -> None:
    assert file_problem(ConnectionResetError(errno.ECONNRESET, "reset")) is None
