"""The reading side of the lake: SQL in, Arrow out, beside the running writer."""

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
from storage.errors import Diagnosis, LakeMissing, LakeUnreadable, QueryFailed
from storage.lake.attach import SQL, attach_reader, reader_lock
from storage.lake.catalog import LakeLocation, lake_location
from storage.lake.duckdb_errors import concerns_disk, is_damage, is_transient
from storage.lake.last_values import read_last_values
from storage.platform.durability import disk_problem
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
SHOWN_CHARS = 200  # of a query's text


class Reader:
    """A read-only view of one lake, safe to share between threads.

    Each query sees the newest commit, and its result is fetched whole. `check` decides which
    statements run; without one, all do.
    """

    def __init__(
        self,
        folders: Folders,
        home: LakeLocation,
        connection: duckdb.DuckDBPyConnection,
        check: StatementCheck | None,
    ) -> None:
        self.folders = folders
        self._home = home
        self._identity = home.catalog.identity()
        self._connection = connection
        self._check = check
        self._cursor_lock = threading.Lock()
        self._idle: list[duckdb.DuckDBPyConnection] = []
        self.rows_read = 0

    @classmethod
    def open(cls, data: Path | str, *, unrestricted: bool = False) -> "Reader":
        """Open the lake in folder `data`; LakeMissing says when there is none yet.

        An unrestricted reader runs whatever DuckDB does: several statements, COPY, functions that
        delete files, extensions. The tables of the lake stay read-only all the same.
        """
        folders = Folders.at(data)
        with ExitStack() as undo:
            connection = attach_reader(folders)
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
        """Let go of the lake."""
        for cursor in self._idle:
            cursor.close()
        if self._check is not None:
            self._check.close()
        self._connection.close()
        log.debug("reader of %s closed", self.folders.data)

    def replaced(self) -> bool:
        """Whether another lake has taken the place of this one, such as a restored one."""
        return self._home.catalog.identity() != self._identity

    def query(self, sql: str, /, **parameters: Any) -> pa.Table:
        """The result of one statement; `$name` in it stands for the parameter `name`.

        Raises QueryFailed with the engine's words, and StatementRefused, which is one, for SQL that
        is more than a read.
        """
        return self._settled(partial(self._run, sql, parameters))

    def start(self, sql: str, /, **parameters: Any) -> QueryHandle:
        """The same, to be watched and ended while it runs."""
        cursor = self._taken_cursor()
        work = partial(self._settled, partial(self._run_on, cursor, sql, parameters))
        return QueryHandle(cursor, work, partial(self._idle.append, cursor))

    def named(
        self, name: str, pieces: Mapping[str, str] | None = None, /, **parameters: Any
    ) -> pa.Table:
        """The result of `storage/sql/NAME.sql`; `{piece}` in it stands for a generated list."""
        text = (SQL / f"{name}.sql").read_text()
        for piece, sql in (pieces or {}).items():
            text = text.replace("{" + piece + "}", sql)
        return self.query(text, **parameters)

    def latest(self, start: datetime, stop: datetime) -> pa.Table:
        """The last sample of each server, of those from `start` to `stop`, in a row of `metrics`.

        Of the last day it is at hand, and no file of the lake has to be opened for it.
        """
        at_hand = None if self._home.catalog.networked else read_last_values(self.folders)
        rows = at_hand.between(start, stop) if at_hand else None
        if at_hand is None or rows is None or at_hand.snapshot != self.snapshot():
            return self.named("windows/readings", start=start, stop=stop)
        self.rows_read += rows.num_rows
        return rows

    def snapshot(self) -> int:
        """The number of the newest snapshot."""
        return int(self.query("FROM ducklake_current_snapshot('lake')").column(0)[0].as_py())

    @contextmanager
    def pinned(self) -> Iterator["Reader"]:
        """A reader all of whose queries see one and the same snapshot; keep it short."""
        with self._undisturbed():
            cursor = self._begun()
            try:
                yield _Pinned(self.folders, self._home, cursor, self._check)
            finally:
                with suppress(duckdb.Error):  # a lost server has ended the transaction
                    cursor.execute("ROLLBACK")
                cursor.close()

    def _begun(self) -> duckdb.DuckDBPyConnection:
        """A cursor with a transaction of its own; raises QueryFailed."""
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
        known = known or self._away(error)
        if known:
            return QueryFailed(known.message, known.remedy, retryable=True)
        return QueryFailed(str(error), retryable=is_transient(error) or is_damage(error))

    def _away(self, error: duckdb.Error) -> Diagnosis | None:
        return self._home.catalog.diagnose(error) if self._home.catalog.networked else None

    def _undisturbed(self) -> AbstractContextManager[None]:
        # PostgreSQL shows a transaction one state of the catalog; SQLite's scanner does not.
        return nullcontext() if self._home.catalog.networked else reader_lock(self.folders)

    def _settled(self, run: Callable[[], pa.Table]) -> pa.Table:
        try:
            return run()
        except duckdb.Error as error:
            if not is_transient(error):
                raise self._failed(error) from error
            log.debug("query tried again: %s", error)
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
        with self._undisturbed():
            return self._execute(cursor, sql, parameters)

    def _execute(
        self, cursor: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, Any]
    ) -> pa.Table:
        if self._check is not None:
            self._check.verify(sql, self._definitions(self._check))
        began = time.perf_counter()
        rows = cursor.execute(sql, parameters or None).to_arrow_table()
        took_s = time.perf_counter() - began
        if took_s > SLOW_S:
            text = " ".join(sql.split())[:SHOWN_CHARS]
            log.info("slow query: %.1f s, %d rows: %s", took_s, rows.num_rows, text)
        self.rows_read += rows.num_rows
        return rows

    def _definitions(self, check: StatementCheck) -> Definitions:
        return check.definitions()

    @contextmanager
    def _idle_cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One that no other thread uses; making one anew costs as much as a small query."""
        cursor = self._taken_cursor()
        try:
            yield cursor
        finally:
            self._idle.append(cursor)

    def _taken_cursor(self) -> duckdb.DuckDBPyConnection:
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


class _Pinned(Reader):
    """Works on the one connection that holds the transaction: a new cursor would be outside it."""

    _seen: Definitions | None = None

    def _definitions(self, check: StatementCheck) -> Definitions:
        # A snapshot does not change.
        self._seen = self._seen or check.definitions()
        return self._seen

    def _run(self, sql: str, parameters: dict[str, Any]) -> pa.Table:
        with self._cursor_lock:
            return self._execute(self._connection, sql, parameters)
