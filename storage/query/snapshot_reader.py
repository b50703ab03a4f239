"""Snapshot reader: all its queries see one snapshot, and nothing is locked between two of them."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import duckdb

from storage.errors import LakeUnreadable, QueryFailed
from storage.query.read_only import Definitions, StatementCheck
from storage.query.reader import Reader

if TYPE_CHECKING:
    from types import TracebackType

    import pyarrow as pa

__all__ = ["SnapshotReader"]

log = logging.getLogger(__name__)

HAS_SNAPSHOT = "SELECT 1 FROM ducklake_snapshots('lake') WHERE snapshot_id = $snapshot"


class SnapshotReader(Reader):
    """Reads the snapshot that is the newest at its first query; safe to share between threads.

    A pinned reader keeps merges waiting from its first query to its end; this one only while a
    query runs. After a commit it attaches the lake a second time, as of its snapshot, which takes
    about 50 ms of CPU once. A snapshot is kept for 15 minutes: a query after that raises
    QueryFailed.
    """

    def __init__(self, source: Reader) -> None:
        super().__init__(source.folders, source._location, source._connection, source._check)
        self._source = source
        self._lock = threading.Lock()
        self._snapshot: int | None = None
        self._known: Definitions | None = None
        self._past: Reader | None = None

    def __enter__(self) -> SnapshotReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what this reader attached; the reader that it was made of stays open."""
        if self._past is not None:
            self._past.close()
            self._past = None

    def snapshot(self) -> int:
        """Return the number of the snapshot that all queries see."""
        with self._lock:
            if self._snapshot is None:
                self._snapshot = self._source.snapshot()
            return self._snapshot

    def _run(self, sql: str, parameters: dict[str, Any]) -> pa.Table:
        wanted = self.snapshot()
        rows = self._run_now(wanted, sql, parameters) if self._past is None else None
        if rows is None:
            rows = self._as_of(wanted)._run(sql, parameters)
        self.rows_read += rows.num_rows
        return rows

    def _run_now(self, wanted: int, sql: str, parameters: dict[str, Any]) -> pa.Table | None:
        """Return the rows if the newest snapshot is still the wanted one, else None."""
        seen = self._definitions(self._check) if self._check else None
        with self._source.pinned(seen) as pinned:
            return pinned._run(sql, parameters) if pinned.snapshot() == wanted else None

    def _definitions(self, check: StatementCheck) -> Definitions:
        # They cannot change within a snapshot.
        self._known = self._known or check.definitions()
        return self._known

    def _as_of(self, snapshot: int) -> Reader:
        with self._lock:
            if self._past is None:
                log.debug("the lake has changed: it is attached as of snapshot %d", snapshot)
                self._past = self._attached(snapshot)
            return self._past

    def _attached(self, snapshot: int) -> Reader:
        try:
            past = Reader.open(self.folders.data, snapshot, unrestricted=self._check is None)
        except (duckdb.Error, LakeUnreadable) as error:
            if self._source.query(HAS_SNAPSHOT, snapshot=snapshot).num_rows:
                raise
            raise QueryFailed(
                f"snapshot {snapshot} of the lake has expired",
                "read all that a run needs within 15 minutes of its first query",
            ) from error
        if self._source.replaced():
            past.close()
            raise QueryFailed("another lake has taken the place of this one", retryable=True)
        return past
