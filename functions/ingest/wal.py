"""Write-ahead log: accepted requests, fsynced before the 2xx response.

Values of one timestamp come in several requests, and only whole rows go into a segment. Until then
the log holds the requests as they came; after a crash they are read again.
"""

import hashlib
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from storage.inbox.segment import SegmentNotWritten
from storage.ipc.push_protocol import Push
from storage.platform.durability import fsync_directory

__all__ = ["GroupCommit", "WalEntry", "WriteAheadLog"]

log = logging.getLogger(__name__)

T = TypeVar("T")
SUFFIX = ".push"
MAGIC = b"HoursightWAL1\n"  # no list of msgpack begins like this
DIGEST_BYTES = 16


class WalEntry(msgspec.Struct, frozen=True):
    """A request as it came, and the time at which it was received."""

    push: Push
    received_at: datetime


class WriteAheadLog:
    """The log of one source: files with a few requests each."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind

    def write(self, entries: Sequence[WalEntry]) -> Path:
        """Write requests durably to one file, all or none. Raises SegmentNotWritten."""
        stamp = entries[0].received_at.strftime("%Y%m%dT%H%M%S.%f")
        final = self._folder / f"{stamp}-{self._kind}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        unfinished, began = final.with_suffix(".partial"), time.perf_counter()
        try:
            self._folder.mkdir(exist_ok=True)
            with unfinished.open("wb") as file:
                content = msgspec.msgpack.encode(entries)
                file.write(MAGIC + _digest(content) + content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(final)
            fsync_directory(self._folder)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            what = "nothing was taken"
            raise SegmentNotWritten.because_of(error, self._folder.parent, what) from error
        took_ms = 1000 * (time.perf_counter() - began)
        log.debug("%s: %d requests written in %.1f ms", final.name, len(entries), took_ms)
        return final

    def unfinished(self) -> Iterator[tuple[Path, Callable[[], list[WalEntry]]]]:
        """The files of an earlier process, oldest first; its incomplete ones are removed.

        Each comes with a function that reads it and raises msgspec.DecodeError for a damaged file.
        """
        for path in self._folder.glob("*.partial"):
            path.unlink(missing_ok=True)
        for path in sorted(self._folder.glob(f"*-{self._kind}-*{SUFFIX}")):
            yield path, partial(_read, path)


def _read(path: Path) -> list[WalEntry]:
    content = path.read_bytes()
    if content.startswith(MAGIC):  # files of earlier versions have no hash
        begin = len(MAGIC) + DIGEST_BYTES
        expected, content = content[len(MAGIC) : begin], content[begin:]
        if expected != _digest(content):
            raise msgspec.DecodeError("its content does not have the hash at its beginning")
    return msgspec.msgpack.decode(content, type=list[WalEntry])


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


class GroupCommit(Generic[T]):
    """Group commit: items of several threads share one write; each waits for its own."""

    def __init__(self, write: Callable[[list[T]], None]) -> None:
        self._write = write
        self._waiting: list[_Ticket[T]] = []
        self._write_lock = threading.Lock()
        self._list_lock = threading.Lock()

    def put(self, item: T) -> None:
        """Return once `item` is written; raise what the write raised."""
        ticket = _Ticket(item)
        with self._list_lock:
            self._waiting.append(ticket)
        with self._write_lock:
            if not ticket.done:
                with self._list_lock:
                    batch, self._waiting = self._waiting, []
                self._write_all(batch)
        if ticket.error is not None:
            raise ticket.error

    def _write_all(self, tickets: "list[_Ticket[T]]") -> None:
        def settle(_kind: object, error: BaseException | None, _trace: object) -> None:
            for ticket in tickets:
                ticket.done, ticket.error = True, error

        with ExitStack() as stack:
            stack.push(settle)  # on an error too: every waiting thread raises it
            self._write([ticket.item for ticket in tickets])


class _Ticket(Generic[T]):
    def __init__(self, item: T) -> None:
        self.item = item
        self.done = False
        self.error: BaseException | None = None
