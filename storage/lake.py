"""The DuckLake: how it is attached, made and brought up to date."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from storage.disk import disk_trouble
from storage.folders import Folders
from storage.schema import STOCK, Schema
from storage.views import VIEWS

__all__ = [
    "LakeMissing", "LakeUnreadable", "ReadersBusy", "attach_reader", "attach_still",
    "attach_writer", "evolve", "merge_guard", "reading",
]  # fmt: skip

EXTENSIONS = ("ducklake", "sqlite_scanner")
SQL = Path(__file__).parent / "sql"

# The catalog waits this long for a lock before it gives up.
BUSY_TIMEOUT_MS = 10_000
WAL = ", META_JOURNAL_MODE 'WAL'"
GAP_POLL_S = 0.002

# Each as it is given, and as DuckLake keeps it.
LAKE_OPTIONS = {
    "data_inlining_row_limit": ("0", "0"),  # inlined rows are slower here and stored as text
    "parquet_compression": ("zstd", "zstd"),
    "parquet_compression_level": ("3", "3"),
    "parquet_version": ("2", "V2"),
    "target_file_size": ("32MB", "32000000"),  # a larger merged day loses its pruning by time
}


class LakeMissing(Exception):
    """There is no lake in the data folder yet."""

    def __init__(self, folders: Folders) -> None:
        super().__init__(
            f"no lake in {folders.data}: start one with 'hoursight demo' or 'hoursight up', "
            "or name another folder with --data"
        )


class ReadersBusy(Exception):
    """A merge found no moment without readers; it can wait for the next round."""


class LakeUnreadable(Exception):
    """The lake is there and cannot be attached."""


def attach_writer(folders: Folders, schema: Schema = STOCK) -> duckdb.DuckDBPyConnection:
    """The keeper's connection: makes the lake when it is not there, its tables, columns, views."""
    connection = _connect()
    connection.execute("SET threads = 1; SET memory_limit = '2GB'")
    _attach(connection, folders, WAL)
    evolve(connection, schema)
    return connection


def evolve(connection: duckdb.DuckDBPyConnection, schema: Schema) -> None:
    """Bring the lake up to `schema`: what it lacks is added, what it has besides stays."""
    connection.execute("BEGIN")
    try:
        _set_options(connection)
        _create_tables(connection, schema)
        _create_views(connection)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.TransactionException):
            connection.execute("ROLLBACK")
        raise


def attach_reader(folders: Folders) -> duckdb.DuckDBPyConnection:
    """A read-only connection that sees each commit as it comes."""
    if not folders.catalog.exists():
        raise LakeMissing(folders)
    connection = _connect()
    try:
        _attach(connection, folders, f"{WAL}, READ_ONLY")
    except duckdb.Error as error:
        trouble = disk_trouble(folders.data) or error
        raise LakeUnreadable(f"{folders.catalog} cannot be attached: {trouble}") from error
    return connection


def attach_still(folders: Folders) -> duckdb.DuckDBPyConnection:
    """A read-only connection to a copy of a lake that nobody writes; nothing is changed by it."""
    connection = _connect()
    try:
        _attach(connection, folders, ", READ_ONLY")
    except duckdb.Error as error:
        raise LakeUnreadable(f"{folders.catalog} cannot be attached: {error}") from error
    return connection


@contextmanager
def reading(folders: Folders) -> Iterator[None]:
    """Keeps a merge from taking effect in the middle of a query or of a pinned window.

    The SQLite scanner reads the list of files outside of the reader's transaction (1.5.5), and a
    merge deletes entries of that list: a query in between would miss rows.
    """
    with folders.merge_lock.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


@contextmanager
def merge_guard(folders: Folders, patience_s: float) -> Iterator[None]:
    """The other side of `reading`; raises ReadersBusy when readers leave no gap for so long."""
    give_up = time.monotonic() + patience_s
    with folders.merge_lock.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > give_up:
                    raise ReadersBusy(f"readers left no gap of {patience_s:g} s") from error
                time.sleep(GAP_POLL_S)
        yield


def _connect() -> duckdb.DuckDBPyConnection:
    # The extensions come from packages that pip has checked: to check the signature of 70 MB again
    # takes 0.2 s a connection. Whoever uses the connection loads none without one.
    connection = duckdb.connect(":memory:", config={"allow_unsigned_extensions": "true"})
    for extension in EXTENSIONS:
        load_extension(connection, extension)
    connection.execute("SET allow_unsigned_extensions = false")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load a DuckDB extension; on a machine's first use it is copied from its Python package."""
    try:
        connection.execute(f"LOAD {name}")
    except duckdb.Error:
        from duckdb_extensions import import_extension

        import_extension(name)
        connection.execute(f"LOAD {name}")


def _attach(connection: duckdb.DuckDBPyConnection, folders: Folders, option: str) -> None:
    connection.execute(
        f"ATTACH 'ducklake:sqlite:{_quoted(folders.catalog)}' AS lake "
        # The catalog names files relative to the folder, which may have been moved or restored.
        f"(DATA_PATH '{_quoted(folders.lake)}/', OVERRIDE_DATA_PATH true, "
        f"META_BUSY_TIMEOUT {BUSY_TIMEOUT_MS}{option})"
    )
    connection.execute("USE lake")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _set_options(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute("SELECT option_name, value FROM ducklake_options('lake')").fetchall()
    held = dict(rows)
    for name, (given, kept) in LAKE_OPTIONS.items():
        if held.get(name) != kept:
            connection.execute("CALL lake.set_option(?, ?)", [name, given])


def _create_tables(connection: duckdb.DuckDBPyConnection, schema: Schema) -> None:
    present = _names(connection, "duckdb_tables()", "table_name")
    columns = _names(connection, "duckdb_columns()", "table_name, column_name")
    for table in schema.tables:
        if table.name not in present:
            for statement in table.ddl():
                connection.execute(statement)
            continue
        for column in table.columns:
            if (table.name, column.name) not in columns:
                connection.execute(f"ALTER TABLE {table.name} ADD COLUMN {column.ddl}")


def _create_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the views anew where their text has changed."""
    known = _names(connection, "duckdb_views()", "view_name, comment")
    for view in VIEWS:
        name, text = view.name, view.sql
        if (name, text) not in known:
            connection.execute(f"CREATE OR REPLACE VIEW {name} AS {text}")
            connection.execute(f"COMMENT ON VIEW {name} IS '{text.replace(chr(39), chr(39) * 2)}'")


def _names(connection: duckdb.DuckDBPyConnection, source: str, columns: str) -> set[Any]:
    rows = connection.execute(
        f"SELECT {columns} FROM {source} WHERE database_name = 'lake'"
    ).fetchall()
    return {row[0] if len(row) == 1 else row for row in rows}
