"""Write buffer: samples wait for others of the same timestamp, then become one segment."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa

from functions.ingest.partial_samples import PartialSamples
from functions.ingest.rejection import PushRejected, counts_of
from functions.ingest.row_assembly import RowAssembler
from functions.ingest.wal import GroupCommit, WalEntry, WriteAheadLog
from storage.config.folders import Folders
from storage.config.settings import schema_of
from storage.inbox import segment
from storage.model.reject_log import RejectLog
from storage.model.schema import table

__all__ = ["WriteBuffer"]

log = logging.getLogger(__name__)

# Of memory; on the disk the requests are as small as they were sent.
MAX_WAITING_BYTES = 256 << 20
RETRY_S = 5.0

PushedSamples = tuple[WalEntry, PartialSamples, RejectLog]


class _Generation:
    """The samples of one span of time, and the log files that hold their requests."""

    def __init__(self) -> None:
        self.readings = PartialSamples()
        self.reasons = RejectLog()
        self.files: list[Path] = []
        self.bytes = 0


class WriteBuffer:
    """Keeps samples, durable at once, and writes them as rows after `hold_s` to twice that.

    Samples that come later for a timestamp that is about to be written are written with it.
    """

    def __init__(
        self,
        folders: Folders,
        source: str,
        assembler: RowAssembler,
        hold_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._folders, self._source, self._clock = folders, source, clock
        self._assembler = assembler
        self._hold_s = hold_s
        self._wal = WriteAheadLog(folders.pending, source)
        self._group_commit: GroupCommit[PushedSamples] = GroupCommit(self._take_in)
        self._lock = threading.Lock()
        self._new, self._aging = _Generation(), _Generation()
        self._entering = 0  # bytes of samples that are being made durable
        self._unwritten: list[tuple[str, pa.Table]] = []
        self._written_files: list[Path] = []  # their rows are in segments
        self._undeletable: set[Path] = set()  # of those, the ones that cannot be removed yet
        self._refused = RejectLog()

    def take(self, entry: WalEntry, readings: PartialSamples, reasons: RejectLog) -> None:
        """Return once the samples are durable. Raises SegmentNotWritten, or PushRejected (503)."""
        size = _size(entry, readings)
        with self._lock:
            waiting = self._new.bytes + self._aging.bytes + self._entering
            if waiting and waiting + size > MAX_WAITING_BYTES:
                raise PushRejected(503, "the write buffer is full", "send it again in some seconds")
            self._entering += size
        try:
            self._group_commit.put((entry, readings, reasons))
        finally:
            with self._lock:
                self._entering -= size

    def note(self, reasons: RejectLog) -> None:
        """Write the reasons of a request without any accepted sample at the next flush."""
        with self._lock:
            self._new.reasons.merge(reasons)

    def recover(self, read: Callable[[WalEntry], PartialSamples]) -> None:
        """Read back the requests that an earlier process did not write to a segment."""
        for path, entries in self._wal.unfinished():
            try:
                for entry in entries():
                    readings = read(entry)
                    self._new.bytes += _size(entry, readings)
                    self._new.readings.merge(readings)
            except (msgspec.DecodeError, PushRejected, OSError) as error:
                log.error("%s cannot be read and is moved to rejected/: %s", path, error)
                self._reject_file(path)
                continue
            log.debug("%s: %s is recovered", self._source, path.name)
            self._new.files.append(path)

    def run_loop(self, stop: threading.Event) -> None:
        """Flush every `hold_s` until `stop` is set; what is not due then stays in the log."""
        while not stop.wait(self._hold_s):
            try:
                self.flush()
            except OSError as error:  # such as a full disk: tried again
                log.error("%s: %s", self._source, error)
                stop.wait(RETRY_S)

    def flush(self) -> None:
        """Write the samples that are due as rows, with later ones of the same timestamps.

        Raises SegmentNotWritten; the next flush goes on from there.
        """
        self._write_out()
        with self._lock:
            due = self._aging
            due.readings.merge(self._new.readings.cut_out(due.readings.timestamps()))
            self._aging, self._new = self._new, _Generation()
        limits = schema_of(self._folders).times
        self._assembler.follow_clock(limits.at(self._clock()).latest_us)
        try:
            rows = self._assembler.rows(due.readings, due.reasons) if due.readings else {}
        except Exception:  # NumPy and Arrow, over anything a sender may send
            log.exception("%s: %s cannot be assembled to rows", self._source, due.files)
            for path in due.files:
                self._reject_file(path)
            return
        if due.reasons:
            rows.setdefault("metrics", table("metrics").arrow.empty_table())
        self._unwritten, self._refused = list(rows.items()), due.reasons
        self._written_files += due.files
        self._write_out()

    def _write_out(self) -> None:
        """Write assembled rows. They cannot be assembled again, as counters have moved on."""
        while self._unwritten:
            name, rows = self._unwritten[0]
            provenance = segment.Provenance(name, self._source, self._clock())
            if name == "metrics":
                provenance = replace(provenance, **counts_of(self._refused))
            segment.write(self._folders, rows, provenance)
            log.debug("%s: %d rows of %s flushed", self._source, rows.num_rows, name)
            del self._unwritten[0]
        self._written_files = [path for path in self._written_files if not self._remove_file(path)]

    def _remove_file(self, path: Path) -> bool:
        """Return True if the file is removed; otherwise the next flush tries again."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if path not in self._undeletable:
                log.error("%s: %s cannot be removed yet: %s", self._source, path, error)
                self._undeletable.add(path)
            return False
        self._undeletable.discard(path)
        return True

    def _reject_file(self, path: Path) -> None:
        try:
            path.rename(self._folders.rejected / path.name)
        except OSError as error:
            log.error("%s: %s cannot be moved to rejected/: %s", self._source, path, error)

    def _take_in(self, pushed: list[PushedSamples]) -> None:
        path = self._wal.write([entry for entry, _, _ in pushed])
        with self._lock:
            self._new.files.append(path)
            for entry, readings, reasons in pushed:
                self._new.bytes += _size(entry, readings)
                self._new.readings.merge(readings)
                self._new.reasons.merge(reasons)


def _size(entry: WalEntry, readings: PartialSamples) -> int:
    """The memory of a request's samples in bytes."""
    return max(len(entry.push.body), readings.memory_bytes)
