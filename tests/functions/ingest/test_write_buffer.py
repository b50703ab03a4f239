"""The write buffer: what waits, what is due, and what the disk does not take."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from functions.ingest import write_buffer
from functions.ingest.partial_samples import PartialSamples
from functions.ingest.rejection import PushRejected
from functions.ingest.row_assembly import RowAssembler
from functions.ingest.wal import WalEntry
from functions.ingest.write_buffer import WriteBuffer
from storage.config.folders import Folders
from storage.inbox.segment import provenance_of
from storage.ipc.push_protocol import Push
from storage.model.reject_log import RejectLog
from tests.conftest import NOW

WITHIN_S = 30.0


class BufferRig:
    """A buffer in a folder, and the rows that it has written."""

    def __init__(self, folders: Folders, hold_s: float = 0.01) -> None:
        self.folders = folders.create()
        assembler = RowAssembler("influx", ["mem_used_pct", "load_average"])
        self.buffer = WriteBuffer(folders, "influx", assembler, hold_s, lambda: NOW)

    def put(self, server: str, ts: int = 0, **values: float) -> None:
        samples = PartialSamples()
        for name, value in values.items():
            samples.add(server, (name, ""), ts, value)
        body = f"{server} {ts} {values}".encode()
        self.buffer.take(WalEntry(Push("lines", body, "", {}), NOW), samples, RejectLog())

    def rows(self) -> list[dict[str, Any]]:
        paths = self.folders.inbox.glob("*-metrics-*.parquet")
        return [row for path in paths for row in pq.read_table(path).to_pylist()]

    def pending(self) -> list[Path]:
        return sorted(self.folders.pending.glob("*"))


@pytest.fixture
def rig(tmp_path: Path) -> BufferRig:
    return BufferRig(Folders.at(tmp_path))


def test_samples_are_durable_at_once_and_written_at_the_second_flush(rig: BufferRig) -> None:
    rig.put("a", mem_used_pct=1)
    assert len(rig.pending()) == 1
    rig.buffer.flush()
    assert rig.rows() == []
    rig.buffer.flush()
    assert [row["mem_used_pct"] for row in rig.rows()] == [1.0]
    assert rig.pending() == []


def test_a_later_sample_of_a_due_timestamp_is_written_with_it(rig: BufferRig) -> None:
    rig.put("a", ts=5, mem_used_pct=1)
    rig.buffer.flush()
    rig.put("a", ts=5, load_average=2)
    rig.put("a", ts=6, load_average=3)
    rig.buffer.flush()
    [row] = rig.rows()
    assert (row["mem_used_pct"], row["load_average"]) == (1.0, 2.0)
    rig.buffer.flush()
    assert len(rig.rows()) == 2


def test_a_full_buffer_is_503_until_it_is_flushed(
    rig: BufferRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_buffer, "MAX_WAITING_BYTES", 40)
    rig.put("a", mem_used_pct=1)
    with pytest.raises(PushRejected, match="the write buffer is full") as error:
        rig.put("a", mem_used_pct=2)
    assert error.value.status == 503
    rig.buffer.flush()
    rig.buffer.flush()
    rig.put("a", mem_used_pct=2)


def test_what_another_process_left_is_recovered_and_a_damaged_file_is_rejected(
    rig: BufferRig,
) -> None:
    rig.put("a", mem_used_pct=1)
    (rig.folders.pending / "0-influx-1.push").write_bytes(b"\xff")
    again = BufferRig(rig.folders)
    recovered = PartialSamples()
    recovered.add("a", ("mem_used_pct", ""), 0, 1.0)
    again.buffer.recover(lambda _: recovered)
    assert (rig.folders.rejected / "0-influx-1.push").exists()
    again.buffer.flush()
    again.buffer.flush()
    assert len(again.rows()) == 1
    assert again.pending() == []


def test_a_file_that_cannot_be_removed_stops_neither_its_thread_nor_the_rows(
    rig: BufferRig,
) -> None:
    stop = threading.Event()
    rig.put("a", mem_used_pct=1)
    [path] = rig.pending()
    path.unlink()
    path.mkdir()  # which unlink refuses
    thread = threading.Thread(target=rig.buffer.run_loop, args=(stop,))
    thread.start()
    await_condition(lambda: len(rig.rows()) == 1)
    rig.put("b", mem_used_pct=2)
    await_condition(lambda: len(rig.rows()) == 2)
    path.rmdir()
    await_condition(lambda: rig.pending() == [])
    stop.set()
    thread.join(WITHIN_S)
    assert not thread.is_alive()


def await_condition(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < give_up, "not in time"
        time.sleep(0.01)


def test_what_was_refused_of_requests_without_a_sample_is_written_too(rig: BufferRig) -> None:
    refused = RejectLog()
    refused.add("the time lies in the future", "web1", 3)
    rig.buffer.note(refused)
    rig.buffer.flush()
    rig.buffer.flush()
    [path] = rig.folders.inbox.glob("*-metrics-*.parquet")
    assert (provenance_of(path).refused, pq.read_metadata(path).num_rows) == (3, 0)
    rig.buffer.flush()
    assert len(list(rig.folders.inbox.iterdir())) == 1


def test_the_buffer_is_full_by_the_memory_of_samples_and_not_by_their_compressed_size(
    rig: BufferRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = PartialSamples()
    for place in range(100):
        samples.add("a", (f"m{place}", ""), 0, 1.0)
    monkeypatch.setattr(write_buffer, "MAX_WAITING_BYTES", 1000 + samples.memory_bytes)
    rig.buffer.take(WalEntry(Push("lines", b"x", "gzip", {}), NOW), samples, RejectLog())
    with pytest.raises(PushRejected, match="the write buffer is full"):
        rig.put("a", mem_used_pct=2)
