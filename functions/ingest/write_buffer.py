"""Readings that wait for the other pieces of their moment, and then become one segment."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa

from functions.ingest.partial_samples import PartialSamples
from functions.ingest.rejection import PushRejected
from functions.ingest.row_assembly import RowAssembler
from functions.ingest.wal import GroupCommit, WalEntry, WriteAheadLog
from storage.config.folders import Folders
from storage.inbox import segment
from storage.model.reject_log import RejectLog

__all__ = ["WriteBuffer"]

log = logging.getLogger(__name__)

# What waits is in the memory too.
MAX_WAITING_BYTES = 64 << 20
RETRY_S = 5.0

Brought = tuple[WalEntry, PartialSamples, RejectLog]


class _Generation:
    """What came within one span of time, and the files that it also lies in."""

    def __init__(self) -> None:
        self.readings = PartialSamples()
        self.reasons = RejectLog()
        self.files: list[Path] = []
        self.bytes = 0


class WriteBuffer:
    """Takes readings, each at once durable, and lets them go as rows after `hold_s` to twice that.

    A later piece of a moment that is about to go goes with it.
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
        self._journal = WriteAheadLog(folders.pending, source)
        self._together: GroupCommit[Brought] = GroupCommit(self._take_in)
        self._lock = threading.Lock()
        self._new, self._aging = _Generation(), _Generation()
        self._going: list[tuple[str, pa.Table]] = []
        self._gone: list[Path] = []  # their rows are in segments
        self._stuck: set[Path] = set()  # of those, the ones that cannot be removed yet
        self._refused = RejectLog()

    def take(self, entry: WalEntry, readings: PartialSamples, reasons: RejectLog) -> None:
        """Return when they are on the disk. Raises SegmentNotWritten, or PushRejected (429)."""
        with self._lock:
            waiting = self._new.bytes + self._aging.bytes
        if waiting + len(entry.push.body) > MAX_WAITING_BYTES:
            raise PushRejected(
                429, "more waits to be written than can be held", "send it again in some seconds"
            )
        self._together.put((entry, readings, reasons))

    def recover(self, read: Callable[[WalEntry], PartialSamples]) -> None:
        """Take up what an earlier process has left."""
        for path, entries in self._journal.left():
            try:
                for entry in entries():
                    self._new.readings.merge(read(entry))
                    self._new.bytes += len(entry.push.body)
            except (msgspec.DecodeError, PushRejected) as error:
                log.error("%s cannot be read, and goes to rejected/: %s", path, error)
                self._put_aside(path)
                continue
            log.debug("%s: %s is taken up again", self._source, path.name)
            self._new.files.append(path)

    def keep_going(self, stop: threading.Event) -> None:
        """Let go what has waited long enough, until `stop` is set; what waits then stays."""
        while not stop.wait(self._hold_s):
            try:
                self.turn()
            except OSError as error:  # nothing goes until the disk goes on
                log.error("%s: %s", self._source, error)
                stop.wait(RETRY_S)

    def turn(self) -> None:
        """Write the rows of what has aged, with what came later for them; the new begins to age.

        Raises SegmentNotWritten; the next turn goes on from there.
        """
        self._write_out()
        with self._lock:
            going = self._aging
            going.readings.merge(self._new.readings.cut_out(going.readings.moments()))
            self._aging, self._new = self._new, _Generation()
        try:
            rows = self._assembler.rows(going.readings) if going.readings else {}
        except Exception:  # NumPy and Arrow, over whatever a sender has sent: the others go on
            log.exception("%s: %s cannot be put together", self._source, going.files)
            for path in going.files:
                self._put_aside(path)
            return
        self._going, self._refused = list(rows.items()), going.reasons
        self._gone += going.files
        self._write_out()

    def _write_out(self) -> None:
        """Rows cannot be worked out again, as counters have moved on: what fails waits here."""
        while self._going:
            name, rows = self._going[0]
            told = segment.Provenance(name, self._source, self._clock())
            if name == "metrics":
                words = self._refused.sentences()
                told = replace(told, refused=self._refused.count, reasons=words)
            segment.write(self._folders, rows, told)
            log.debug("%s: %d rows of %s let go", self._source, rows.num_rows, name)
            del self._going[0]
        self._gone = [path for path in self._gone if not self._removed(path)]

    def _removed(self, path: Path) -> bool:
        """Whether the file is gone; one that stays is tried again after the next turn."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if path not in self._stuck:
                log.error("%s: %s cannot be removed yet: %s", self._source, path, error)
                self._stuck.add(path)
            return False
        self._stuck.discard(path)
        return True

    def _put_aside(self, path: Path) -> None:
        try:
            path.rename(self._folders.rejected / path.name)
        except OSError as error:
            log.error("%s: %s cannot be moved to rejected/: %s", self._source, path, error)

    def _take_in(self, brought: list[Brought]) -> None:
        path = self._journal.write([entry for entry, _, _ in brought])
        with self._lock:
            self._new.files.append(path)
            for entry, readings, reasons in brought:
                self._new.readings.merge(readings)
                self._new.reasons.merge(reasons)
                self._new.bytes += len(entry.push.body)
