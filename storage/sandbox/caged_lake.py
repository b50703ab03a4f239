"""The lake as a sandbox reads it: one statement at a time, its rows as an Arrow stream."""

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import duckdb
import pyarrow as pa

from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.lake.attach import attach_lake, connect_for, reader_lock
from storage.lake.catalog import LakeLocation
from storage.lake.duckdb_errors import is_transient
from storage.query.arrow_types import unheld_columns, with_text
from storage.query.read_only import StatementCheck, StatementRefused, computing
from storage.query.statement import explained_part, names_of
from storage.sandbox.engine_errors import located, shifted
from storage.sandbox.frames import (
    Ended,
    Failure,
    FailureKind,
    QueryRequest,
    RowsSink,
    deadline_failure,
)
from storage.sandbox.sql_policy import PLAN_PREFIX, POLICY, verify_plan

__all__ = ["CagedLake", "QueryStopped", "failure_of", "load_engine"]

# DuckDB's own limit; the kernel's is above it, for what DuckDB does not count.
ENGINE_MEMORY = "384MB"
# Loads what the check of statements keeps: it opens a database of its own for that.
EVERY_PARSER = "PIVOT (SELECT 1 AS a, 2 AS b) ON a USING sum(b)"
BATCH_ROWS = 2048
SEND_BYTES = 1 << 16
# An interrupt before the engine has begun is lost, so it is repeated until the query has ended.
INTERRUPT_EVERY_S = 0.02
LOCKED = (
    "SET memory_limit = '{memory}'; SET temp_directory = ''; SET errors_as_json = true; "
    "SET allowed_directories = ['{files}/']; SET enable_external_access = false; "
    "SET python_enable_replacements = false; SET autoload_known_extensions = false; "
    "SET autoinstall_known_extensions = false; SET allow_community_extensions = false; "
    "SET lock_configuration = true"
)


class QueryStopped(HoursightError):
    """The rows of a query are larger than its limit."""


def load_engine(location: LakeLocation) -> duckdb.DuckDBPyConnection:
    """Load all code that a query may need, so that no file of it is opened later."""
    connection = connect_for(location.catalog, threads="1")
    computing()
    names_of(connection, EVERY_PARSER)
    rows = (
        connection.execute("SELECT TIMESTAMPTZ '2026-05-06 12:00:00Z' AS t, 1.5 AS x")
        .to_arrow_reader(1)
        .read_all()
    )
    rows.to_pylist()
    return connection


class CagedLake:
    """The attached lake and its one connection, for one thread."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, folders: Folders, location: LakeLocation
    ) -> None:
        attach_lake(connection, location, ", READ_ONLY")
        self._connection, self._folders = connection, folders
        cursor = connection.cursor()
        cursor.execute("USE lake")
        self._check = StatementCheck(cursor, POLICY)
        files = str(location.files).replace("'", "''")
        connection.execute(LOCKED.format(memory=ENGINE_MEMORY, files=files))

    def answer(self, request: QueryRequest, descriptor: int) -> Ended:
        """Run a statement and write its rows as frames.

        Raises HoursightError and duckdb.Error, which `failure_of` turns into words.
        """
        began = time.perf_counter()
        with reader_lock(self._folders), self._interrupted_after(request.deadline_s):
            self._verify(request.sql)
            try:
                rows = self._execute(request.sql)
            except duckdb.Error as error:
                if not is_transient(error):
                    raise
                rows = self._execute(request.sql)
            truncated = _send(rows, request, descriptor)
        return Ended(truncated, 1000 * (time.perf_counter() - began))

    def _verify(self, sql: str) -> None:
        self._check.verify(sql, self._check.definitions())
        select = explained_part(self._connection, sql)
        if select is None:
            return  # a PIVOT whose columns come from the data: all its names were checked
        try:
            verify_plan(self._connection, select)
        except duckdb.Error as error:
            before = len(sql[: sql.rfind(select)].encode()) - len(PLAN_PREFIX)
            raise type(error)(shifted(str(error), before)) from error

    def _execute(self, sql: str) -> pa.RecordBatchReader:
        """A stream of rows."""
        result = self._connection.execute(sql)
        description = result.description
        if unheld_columns(description):
            result = self._connection.execute(with_text(self._connection, sql, description))
        return result.to_arrow_reader(BATCH_ROWS)

    @contextmanager
    def _interrupted_after(self, seconds: float) -> Iterator[None]:
        done = threading.Event()
        interrupt = partial(_interrupt_until, done, seconds, self._connection)
        thread = threading.Thread(target=interrupt, daemon=True, name="deadline")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _interrupt_until(
    done: threading.Event, seconds: float, connection: duckdb.DuckDBPyConnection
) -> None:
    while not done.wait(seconds):
        connection.interrupt()
        seconds = INTERRUPT_EVERY_S


def _send(rows: pa.RecordBatchReader, request: QueryRequest, descriptor: int) -> bool:
    """Write rows up to the limits; return True if there are more."""
    rows_left, bytes_left = request.max_rows, request.max_bytes
    buffered = io.BufferedWriter(RowsSink(descriptor), SEND_BYTES)
    with pa.ipc.new_stream(buffered, rows.schema) as stream:
        for batch in rows:
            bytes_left -= batch.nbytes
            if bytes_left < 0 and rows_left == request.max_rows:
                raise QueryStopped(
                    f"the first rows are larger than {request.max_bytes >> 20} MiB",
                    "select fewer columns, or shorten them",
                )
            if batch.num_rows > rows_left or bytes_left < 0:
                stream.write_batch(batch.slice(0, rows_left) if bytes_left >= 0 else batch[:0])
                break
            rows_left -= batch.num_rows
            stream.write_batch(batch)
        else:
            buffered.flush()
            return False
    buffered.flush()
    return True


def failure_of(error: Exception, request: QueryRequest) -> Failure:
    """Say in words why a query failed."""
    if isinstance(error, duckdb.InterruptException):
        return deadline_failure(request)
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError | pa.ArrowMemoryError):
        return Failure(
            "memory", f"the query needs more memory than the {ENGINE_MEMORY} that it may use",
            "read fewer rows or columns, or use 'hoursight sql'",
        )  # fmt: skip
    if isinstance(error, QueryStopped):
        return Failure("size", error.message, error.remedy)
    if isinstance(error, HoursightError):
        kind: FailureKind = "refused" if isinstance(error, StatementRefused) else "failed"
        return Failure(kind, error.message, error.remedy)
    message, at = located(str(error), request.sql)
    return Failure("failed", message, at=at)
