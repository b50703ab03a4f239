"""Shared reader: one reader of a lake for many threads, replaced without interrupting queries."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import QueryFailed

if TYPE_CHECKING:  # DuckDB is loaded on first use only
    from storage.query.reader import Reader

__all__ = ["SharedReader"]


class _Entry:
    """A reader, its number of users, and whether it closes after the last of them."""

    def __init__(self, reader: "Reader") -> None:
        self.reader = reader
        self.users = 0
        self.retired = False


class SharedReader:
    """Opens the lake of a data folder on first use; safe to share between threads.

    The reader is replaced when the lake was replaced, for example by a restored one, and after a
    query that failed. A replaced reader closes after its last user, so that no query is cut off.
    `check` is called with each new reader and may raise.
    """

    def __init__(
        self, data: Path | str, check: Callable[["Reader"], None] = lambda _reader: None
    ) -> None:
        self._data = data
        self._check = check
        self._lock = threading.Lock()
        self._current: _Entry | None = None

    @contextmanager
    def use(self) -> Iterator["Reader"]:
        """The reader, open for the duration of the context.

        Raises LakeMissing, LakeUnreadable and what `check` raises.
        """
        entry = self._enter()
        try:
            yield entry.reader
        except QueryFailed:
            self._retire(entry)  # the connection may be the cause
            raise
        finally:
            self._leave(entry)

    def close(self) -> None:
        """Close the reader after its last user; the next use opens it again."""
        current = self._current
        if current is not None:
            self._retire(current)

    def _enter(self) -> _Entry:
        with self._lock:
            if self._current is not None and self._current.reader.replaced():
                self._drop(self._current)
            if self._current is None:
                self._current = _Entry(self._open())
            self._current.users += 1
            return self._current

    def _leave(self, entry: _Entry) -> None:
        with self._lock:
            entry.users -= 1
            if entry.retired and not entry.users:
                entry.reader.close()

    def _retire(self, entry: _Entry) -> None:
        with self._lock:
            self._drop(entry)

    def _drop(self, entry: _Entry) -> None:
        if entry.retired:
            return
        entry.retired = True
        if self._current is entry:
            self._current = None
        if not entry.users:
            entry.reader.close()

    def _open(self) -> "Reader":
        from storage.query.reader import Reader

        with ExitStack() as undo:
            reader = Reader.open(self._data)
            undo.callback(reader.close)
            self._check(reader)
            undo.pop_all()
        return reader
