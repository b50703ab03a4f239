"""Reader of the lake: SQL in, Arrow out, while the writer runs."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from storage.config.folders import Folders
from storage.config.settings import schema_of
from storage.errors import Diagnosis, LakeMissing, LakeUnreadable, QueryFailed
from storage.lake.attach import SQL, attach_reader, reader_lock
from storage.lake.catalog import LakeLocation, lake_location
from storage.lake.duckdb_errors import (
    concerns_disk,
    is_damage,
    is_file_damage,
    is_transient,
    named_file,
)
from storage.lake.file_reports import report_file
from storage.lake.last_values import read_last_values
from storage.platform.durability import disk_problem
from storage.query.arrow_types import unheld, unheld_columns, with_text
from storage.query.file_cache import FileCache
from storage.query.known_then import cut_off
from storage.query.query_handle import QueryHandle
from storage.query.read_only import (
    Definitions,
    StatementCheck,
    StatementRefused,
    confine,
)

__all__ = ["LakeMissing", "LakeUnreadable", "QueryFailed", "Reader", "StatementRefused"]


log = logging.getLogger(__name__)

SLOW_S = 1.0
LOGGED_CHARS = 200  # of a slow query's text


class Reader:
    """A read-only view of one lake, safe to share between threads.

    Each query sees the newest commit, and its result is fetched whole. `check` decides which
    statements run; without one, all do.
    """

    def __init__(
        self,
        folders: Folders,
        location: LakeLocation,
        connection: duckdb.DuckDBPyConnection,
        check: StatementCheck | None,
    ) -> None:
        self.folders = folders
        self._location = location
        self._identity = location.catalog.identity()
        self._connection = connection
        self._check = check
        self._cursor_lock = threading.Lock()
        self._idle: list[duckdb.DuckDBPyConnection] = []
        self._file_cache = FileCache()
        self.rows_read = 0

    @classmethod
    def open(
        cls, data: Path | str, snapshot: int | None = None, *, unrestricted: bool = False
    ) -> "Reader":
        """Open the lake in folder `data`, at the newest commit or as of a snapshot.

        An unrestricted reader runs all that DuckDB does: several statements, COPY, functions that
        delete files, extensions. The tables of the lake stay read-only. Raises LakeMissing and
        LakeUnreadable.
        """
        folders = Folders.at(data)
        with ExitStack() as undo:
            connection = attach_reader(folders, snapshot)
            undo.callback(connection.close)
            check = None
            if not unrestricted:
                confine(connection)
                check = StatementCheck(connection.cursor())
            reader = cls(folders, lake_location(folders), connection, check)
            undo.pop_all()
        log.debug("reader of %s opened", folders.data)
        return reader

    def close(self) -> None:
        """Close all connections."""
        for cursor in self._idle:
            cursor.close()
        if self._check is not None:
            self._check.close()
        self._connection.close()
        log.debug("reader of %s closed", self.folders.data)

    def replaced(self) -> bool:
        """Return True if the lake was replaced, for example by a restored one."""
        return self._location.catalog.identity() != self._identity

    def query(self, sql: str, /, **parameters: Any) -> pa.Table:
        """The result of one statement; `$name` in it stands for the parameter `name`.

        Raises QueryFailed with DuckDB's message, and its subclass StatementRefused for SQL that
        does more than read.
        """
        return self._with_retry(partial(self._run, sql, parameters))

    def start(self, sql: str, /, **parameters: Any) -> QueryHandle:
        """Start one statement; the handle gives its progress and result, and can interrupt it."""
        cursor = self._take_cursor()
        work = partial(self._with_retry, partial(self._run_on, cursor, sql, parameters))
        return QueryHandle(cursor, work, partial(self._idle.append, cursor))

    def named(
        self, name: str, pieces: Mapping[str, str] | None = None, /, **parameters: Any
    ) -> pa.Table:
        """The result of `storage/sql/NAME.sql`; `{piece}` in it is replaced by generated SQL."""
        text = (SQL / f"{name}.sql").read_text()
        for piece, sql in (pieces or {}).items():
            text = text.replace("{" + piece + "}", sql)
        return self.query(text, **parameters)

    def latest(self, start: datetime, stop: datetime) -> pa.Table:
        """The last sample of each server from `start` to `stop`, one row of `metrics` each.

        Read from the last-value cache where possible, which covers the last day.
        """
        cached = None if self._has_no_cache() else read_last_values(self.folders)
        rows = cached.between(start, stop) if cached else None
        if cached is None or rows is None or cached.snapshot != self.snapshot():
            return self.named("windows/readings", start=start, stop=stop)
        self.rows_read += rows.num_rows
        return rows

    def _has_no_cache(self) -> bool:
        return self._location.catalog.networked

    def snapshot(self) -> int:
        """The id of the newest snapshot."""
        return int(self.query("FROM ducklake_current_snapshot('lake')").column(0)[0].as_py())

    @contextmanager
    def pinned(
        self, known: Definitions | None = None, known_at: datetime | None = None
    ) -> Iterator["Reader"]:
        """Context: a reader whose queries all see the same snapshot.

        Keep it short: a merge waits for its end. `known` are the definitions of that snapshot,
        where they are known. With `known_at` its tables have the rows that were known at that
        time; raises NotRunningThen.
        """
        with self._merge_guard():
            cursor = self._begin()
            try:
                if known_at is not None:
                    self._cut_off(cursor, known_at)
                pinned = _PinnedReader(self.folders, self._location, cursor, self._check)
                pinned._known = known
                pinned._is_earlier = known_at is not None
                pinned._file_cache = self._file_cache
                yield pinned
            finally:
                with suppress(
                    duckdb.Error
                ):  # the transaction ended with the connection to the server
                    cursor.execute("ROLLBACK")
                cursor.close()

    def _cut_off(self, cursor: duckdb.DuckDBPyConnection, at: datetime) -> None:
        try:
            cut_off(cursor, schema_of(self.folders).tables, at)
        except duckdb.Error as error:
            raise self._failed(error) from error

    def _begin(self) -> duckdb.DuckDBPyConnection:
        """A cursor in a transaction of its own. Raises QueryFailed."""
        with ExitStack() as undo:
            try:
                cursor = self._cursor()
                undo.callback(cursor.close)
                cursor.execute("BEGIN")
            except duckdb.Error as error:
                raise self._failed(error) from error
            undo.pop_all()
        return cursor

    def _failed(self, error: duckdb.Error) -> QueryFailed:
        known = disk_problem(self.folders.data) if concerns_disk(error) else None
        known = known or self._server_problem(error) or self._file_problem(error)
        if known:
            return QueryFailed(known.message, known.remedy, retryable=True)
        return QueryFailed(str(error), retryable=is_transient(error) or is_damage(error))

    def _server_problem(self, error: duckdb.Error) -> Diagnosis | None:
        return self._location.catalog.diagnose(error) if self._location.catalog.networked else None

    def _file_problem(self, error: duckdb.Error) -> Diagnosis | None:
        """The words for a damaged file of the lake, which is reported to the writer."""
        path, files = named_file(error), str(self._location.files)
        if not is_file_damage(error) or (path is not None and not path.startswith(files)):
            return None  # such as a user's own file
        report_file(self.folders, path)
        if path is None:
            return None
        reason = str(error).replace(files, "lake")
        return Diagnosis(
            f"lake/{path[len(files) + 1 :]} is missing, damaged or cannot be read ({reason})",
            "the writer puts it aside within seconds, and queries go on without its rows; "
            "'hoursight verify' says which these are",
        )

    def _merge_guard(self) -> AbstractContextManager[None]:
        # A transaction on PostgreSQL sees one state of the catalog; SQLite's scanner does not.
        return nullcontext() if self._location.catalog.networked else reader_lock(self.folders)

    def _with_retry(self, run: Callable[[], pa.Table]) -> pa.Table:
        try:
            return run()
        except duckdb.Error as error:
            if not is_transient(error):
                raise self._failed(error) from error
            log.debug("query repeated: %s", error)
        try:
            return run()
        except duckdb.Error as error:
            raise self._failed(error) from error

    def _run(self, sql: str, parameters: dict[str, Any]) -> pa.Table:
        with self._idle_cursor() as cursor:
            return self._run_on(cursor, sql, parameters)

    def _run_on(
        self, cursor: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, Any]
    ) -> pa.Table:
        with self._merge_guard():
            return self._execute(cursor, sql, parameters)

    def _execute(
        self, cursor: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, Any]
    ) -> pa.Table:
        if self._check is not None:
            self._check.verify(sql, self._definitions(self._check))
        began = time.perf_counter()
        rows = self._rows(cursor, sql, parameters)
        took_s = time.perf_counter() - began
        self._file_cache.bound(cursor)
        if took_s > SLOW_S:
            text = " ".join(sql.split())[:LOGGED_CHARS]
            log.info("slow query: %.1f s, %d rows: %s", took_s, rows.num_rows, text)
        self.rows_read += rows.num_rows
        return rows

    def _rows(
        self, cursor: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, Any]
    ) -> pa.Table:
        result = cursor.execute(sql, parameters or None)
        description = result.description
        if unheld_columns(description):
            if self._check is None:  # it may do more than read, so it is not run again
                raise unheld(description)
            result = cursor.execute(with_text(cursor, sql, description), parameters or None)
        return result.to_arrow_table()

    def _definitions(self, check: StatementCheck) -> Definitions:
        return check.definitions()

    @contextmanager
    def _idle_cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor that no other thread uses; creating one costs as much as a small query."""
        cursor = self._take_cursor()
        try:
            yield cursor
        finally:
            self._idle.append(cursor)

    def _take_cursor(self) -> duckdb.DuckDBPyConnection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._cursor()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._cursor_lock:
            cursor = self._connection.cursor()
        with ExitStack() as undo:
            undo.callback(cursor.close)
            cursor.execute("USE lake; SET TimeZone = 'UTC'")
            undo.pop_all()
        return cursor


class _PinnedReader(Reader):
    """Uses only the connection with the transaction: a new cursor would be outside of it."""

    _known: Definitions | None = None
    _snapshot: int | None = None
    _is_earlier = False  # its tables are cut off, and the cache has the present

    def _has_no_cache(self) -> bool:
        return self._is_earlier or super()._has_no_cache()

    def snapshot(self) -> int:
        if self._snapshot is None:
            self._snapshot = super().snapshot()
        return self._snapshot

    def _definitions(self, check: StatementCheck) -> Definitions:
        # They cannot change within a snapshot.
        self._known = self._known or check.definitions()
        return self._known

    def _run(self, sql: str, parameters: dict[str, Any]) -> pa.Table:
        with self._cursor_lock:
            return self._execute(self._connection, sql, parameters)
