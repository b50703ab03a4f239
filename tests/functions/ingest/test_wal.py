"""The write-ahead log and group commit."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from functions.ingest.wal import GroupCommit, WalEntry, WriteAheadLog
from storage.inbox.segment import SegmentNotWritten
from storage.ipc.push_protocol import Push
from tests.conftest import NOW


def entry(body: bytes, seconds: float = 0) -> WalEntry:
    received_at = NOW + timedelta(seconds=seconds)
    return WalEntry(Push("lines", body, "identity", {"precision": "s"}), received_at)


def test_what_is_written_is_read_back_in_order(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path / "pending", "influx")
    log.write([entry(b"c", seconds=5)])
    log.write([entry(b"a"), entry(b"b")])
    files = [read() for _, read in log.unfinished()]
    assert [[each.push.body for each in entries] for entries in files] == [[b"a", b"b"], [b"c"]]
    assert files[0][0] == entry(b"a")


def test_each_source_has_its_own_files(tmp_path: Path) -> None:
    WriteAheadLog(tmp_path, "influx").write([entry(b"a")])
    assert list(WriteAheadLog(tmp_path, "remote_write").unfinished()) == []


def test_an_incomplete_file_is_removed_and_a_damaged_one_raises_when_it_is_read(
    tmp_path: Path,
) -> None:
    (tmp_path / "1-influx-a.partial").write_bytes(b"x")
    (tmp_path / "1-influx-b.push").write_bytes(b"\xff")
    [(path, read)] = WriteAheadLog(tmp_path, "influx").unfinished()
    assert path.name == "1-influx-b.push"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1-influx-b.push"]
    with pytest.raises(msgspec.DecodeError):
        read()


@pytest.mark.parametrize("share", range(0, 100, 9))
def test_each_flipped_bit_raises_when_the_file_is_read(tmp_path: Path, share: int) -> None:
    path = WriteAheadLog(tmp_path, "influx").write([entry(b"cpu usage=1.5"), entry(b"mem x=2")])
    content = bytearray(path.read_bytes())
    content[len(content) * share // 100] ^= 1 << share % 8
    path.write_bytes(content)
    [(_, read)] = WriteAheadLog(tmp_path, "influx").unfinished()
    with pytest.raises(msgspec.DecodeError):
        read()


def test_a_file_of_an_earlier_version_has_no_hash_and_is_read(tmp_path: Path) -> None:
    (tmp_path / "1-influx-b.push").write_bytes(msgspec.msgpack.encode([entry(b"a")]))
    [(_, read)] = WriteAheadLog(tmp_path, "influx").unfinished()
    assert read() == [entry(b"a")]


def test_a_log_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "pending").write_text("a file where the folder should be")
    with pytest.raises(SegmentNotWritten, match="nothing was taken"):
        WriteAheadLog(tmp_path / "pending", "influx").write([entry(b"a")])
    assert [p.name for p in tmp_path.iterdir()] == ["pending"]


def test_items_that_wait_share_one_write_and_its_error() -> None:
    writes: list[list[int]] = []
    first_is_writing, go_on = threading.Event(), threading.Event()

    def write(items: list[int]) -> None:
        writes.append(items)
        first_is_writing.set()
        assert go_on.wait(10)
        if 3 in items:
            raise OSError("full")

    commit = GroupCommit(write)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(commit.put, 0)
        assert first_is_writing.wait(10)
        others = [pool.submit(commit.put, n) for n in (1, 2, 3)]
        while len(commit._waiting) < 3:
            assert not any(other.done() for other in others)
        go_on.set()
        assert first.result(10) is None
        assert [str(other.exception(10)) for other in others] == ["full"] * 3
    assert [sorted(write_) for write_ in writes] == [[0], [1, 2, 3]]


def test_an_error_of_one_write_does_not_stay_for_the_next() -> None:
    errors, written = [OSError("full")], []

    def write(items: list[int]) -> None:
        if errors:
            raise errors.pop()
        written.extend(items)

    commit = GroupCommit(write)
    with pytest.raises(OSError, match="full"):
        commit.put(1)
    commit.put(2)
    assert written == [2]
