"""Results that are kept until a commit changes a table that they depend on."""

import threading
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from storage.model.grid import floor_step
from storage.query.reader import Reader
from storage.query.table_versions import TableVersions

__all__ = ["KeptResults"]

T = TypeVar("T")
# Results as of another time than the present are not kept: `now` lies so far from the clock.
PRESENT = timedelta(seconds=2)
MAX_ENTRIES = 256  # filters of pages are among the names


@dataclass(slots=True)
class _Entry:
    """One result; the lock lets one thread compute it while the others wait."""

    lock: threading.Lock
    version: Hashable = None
    value: Any = None


class KeptResults:
    """Results of queries of the present, by name; safe to share between threads."""

    def __init__(self) -> None:
        self._versions = TableVersions()
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def clear(self) -> None:
        """Forget all results: another lake is read."""
        self._versions = TableVersions()
        self._entries = {}

    def read(
        self,
        reader: Reader,
        name: str,
        tables: Iterable[str],
        now: datetime,
        compute: Callable[[], T],
        key: Hashable = (),
    ) -> T:
        """Return what `compute` returns for the snapshot of `reader` as of `now`.

        It is computed again when one of `tables` has changed, with another `key`, and with each
        5-minute step.
        """
        if abs(datetime.now(UTC) - now) > PRESENT:
            return compute()
        versions = self._versions.at(reader, tables)
        if versions is None:
            return compute()
        return self._result(name, (versions, floor_step(now), key), compute)

    def shared(self, name: str, version: Hashable, compute: Callable[[], T]) -> T:
        """Return what `compute` returns, the same for all who ask for this version at a time."""
        return self._result(f"shared {name}", version, compute)

    def _result(self, name: str, version: Hashable, compute: Callable[[], T]) -> T:
        entry = self._entry(name)
        with entry.lock:
            if entry.version != version:
                entry.value = compute()
                entry.version = version
            value: T = entry.value
        return value

    def _entry(self, name: str) -> _Entry:
        with self._lock:
            if name not in self._entries and len(self._entries) >= MAX_ENTRIES:
                self._entries.clear()
            return self._entries.setdefault(name, _Entry(threading.Lock()))
