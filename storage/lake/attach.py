"""The DuckLake: how it is attached, made and brought up to date."""

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import duckdb

from storage.config.folders import Folders
from storage.config.settings import SettingsError
from storage.errors import HoursightError, LakeMissing, LakeUnreadable
from storage.lake.catalog import (
    ExtensionMissing,
    LakeLocation,
    PostgresCatalog,
    SqliteCatalog,
    lake_location,
    load_extension,
)
from storage.lake.duckdb_errors import is_missing_lake
from storage.model.schema import STOCK, Schema
from storage.model.views import VIEWS

__all__ = [
    "ReadersBusy",
    "attach_copy",
    "attach_reader",
    "attach_writer",
    "copy_catalog",
    "evolve",
    "merge_lock",
    "reader_lock",
]  # fmt: skip

log = logging.getLogger(__name__)

SQL = Path(__file__).parents[1] / "sql"

WAL = ", META_JOURNAL_MODE 'WAL'"
GAP_POLL_S = 0.002
LONG_WAIT_S = 0.1  # for a lock, worth a line

# Each as it is given, and as DuckLake keeps it.
LAKE_OPTIONS = {
    "data_inlining_row_limit": ("0", "0"),  # inlined rows are slower here and stored as text
    "parquet_compression": ("zstd", "zstd"),
    "parquet_compression_level": ("3", "3"),
    "parquet_version": ("2", "V2"),
    "sort_on_insert": ("false", "false"),  # the writer has sorted them, in a tenth of the time
    "target_file_size": ("32MB", "32000000"),  # a larger merged day loses its pruning by time
}


class ReadersBusy(HoursightError):
    """A merge found no moment without readers; it can wait for the next round."""

    retryable = True


def attach_writer(
    folders: Folders, schema: Schema = STOCK, pen: Path | None = None
) -> duckdb.DuckDBPyConnection:
    """The writer's connection: makes the lake when it is not there, its tables, columns, views.

    By `pen` it names the files that it writes; the catalog remembers the folder itself.
    """
    home = lake_location(folders)
    with _closed_on_error(_connect(home.catalog)) as connection:
        connection.execute("SET threads = 1; SET memory_limit = '2GB'")
        # Who comes second to a snapshot's number must look again, not add to what it does not know.
        connection.execute("SET ducklake_max_retry_count = 0")
        _attach(connection, home, _journal(home.catalog))
        if pen is not None:
            connection.execute("USE memory; DETACH lake")
            _attach(connection, home, pen=pen)
        evolve(connection, schema)
    return connection


def evolve(connection: duckdb.DuckDBPyConnection, schema: Schema) -> None:
    """Bring the lake up to `schema`: what it lacks is added, what it has besides stays."""
    connection.execute("BEGIN")
    with ExitStack() as undo:
        undo.callback(_roll_back, connection)
        _set_options(connection)
        _create_tables(connection, schema)
        _create_views(connection)
        connection.execute("COMMIT")
        undo.pop_all()


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    with suppress(duckdb.TransactionException):
        connection.execute("ROLLBACK")


def attach_reader(folders: Folders) -> duckdb.DuckDBPyConnection:
    """A read-only connection that sees each commit as it comes."""
    try:
        home = lake_location(folders)
    except SettingsError as error:
        raise LakeUnreadable(f"where the lake is cannot be read: {error}") from error
    if home.catalog.identity() is None:
        raise LakeMissing(folders.data)
    with _closed_on_error(_attached(folders, home, _journal(home.catalog))) as connection:
        if not _names(connection, "duckdb_tables()", "table_name"):  # the writer is making them
            raise LakeMissing(folders.data)
    return connection


def attach_copy(folders: Folders) -> duckdb.DuckDBPyConnection:
    """A read-only connection to a copy of a lake that nobody writes; nothing is changed by it."""
    return _attached(folders, lake_location(folders), "")


def _attached(folders: Folders, home: LakeLocation, option: str) -> duckdb.DuckDBPyConnection:
    began = time.perf_counter()
    try:
        with _closed_on_error(_connect(home.catalog)) as connection:
            _attach(connection, home, f"{option}, READ_ONLY")
    except ExtensionMissing as error:
        raise LakeUnreadable(str(error)) from error
    except duckdb.Error as error:
        raise _unreadable(folders, home, error) from error
    took_ms = 1000 * (time.perf_counter() - began)
    log.debug("catalog %s attached to read in %.1f ms", home.catalog, took_ms)
    return connection


def _unreadable(folders: Folders, home: LakeLocation, error: duckdb.Error) -> HoursightError:
    if is_missing_lake(error):
        return LakeMissing(folders.data)
    known = home.catalog.diagnose(error)
    if known is None:
        return LakeUnreadable(f"{home.catalog} cannot be attached: {error}")
    if home.catalog.networked:
        return LakeUnreadable(known.message, known.remedy)
    return LakeUnreadable(f"{home.catalog} cannot be attached: {known.message}", known.remedy)


def copy_catalog(source: LakeLocation, target: Path, files: Path) -> None:
    """Make a SQLite catalog `target` for `files` of what the one at `source` says now."""
    connection = _connect(source.catalog)
    try:
        load_extension(connection, SqliteCatalog.extension)
        _attach(connection, source, f"{_journal(source.catalog)}, READ_ONLY")
        # DuckLake makes the tables; what it puts into them gives way.
        connection.execute(
            f"ATTACH 'ducklake:sqlite:{_quoted(str(target))}' AS twin "
            f"(DATA_PATH '{_quoted(str(files))}/'); DETACH twin; "
            f"ATTACH '{_quoted(str(target))}' AS twin (TYPE sqlite)"
        )
        connection.execute("BEGIN")
        for name in _names(connection, "duckdb_tables()", "table_name", "twin"):
            held = f"__ducklake_metadata_lake.{name}"
            connection.execute(f"DELETE FROM twin.{name}")
            connection.execute(f"INSERT INTO twin.{name} BY NAME FROM {held}")
        connection.execute("COMMIT")
    finally:
        connection.close()


@contextmanager
def reader_lock(folders: Folders) -> Iterator[None]:
    """Keeps a merge from taking effect in the middle of a query or of a pinned window.

    The SQLite scanner reads the list of files outside of the reader's transaction (1.5.5), and a
    merge deletes entries of that list: a query in between would miss rows.
    """
    began = time.perf_counter()
    with folders.merge_gate.open("a") as gate:
        fcntl.flock(gate, fcntl.LOCK_SH)
    with folders.merge_lock.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        waited = time.perf_counter() - began
        if waited > LONG_WAIT_S:
            log.debug("a reader waited %.0f ms for a merge", 1000 * waited)
        yield


@contextmanager
def merge_lock(folders: Folders, patience_s: float) -> Iterator[None]:
    """The other side of `reading`: waits for a gap between readers for so long, then makes one.

    Those that come are kept waiting at a gate until those that read already are done: a merge gets
    its turn whatever their number. Raises ReadersBusy when one of them takes as long again.
    """
    with folders.merge_lock.open("a") as lock, folders.merge_gate.open("a") as gate:
        began = time.perf_counter()
        if not _locked(lock, patience_s):
            log.debug("no gap between readers within %g s: the merge gate closes", patience_s)
            fcntl.flock(gate, fcntl.LOCK_EX)
            if not _locked(lock, patience_s):
                raise ReadersBusy(f"a reader took longer than {patience_s:g} s")
        log.debug("merge lock taken after %.1f ms", 1000 * (time.perf_counter() - began))
        yield


def _locked(lock: IO[str], patience_s: float) -> bool:
    """Whether the lock is ours alone, tried for so long."""
    give_up = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                return False
            time.sleep(GAP_POLL_S)
        else:
            return True


def _connect(catalog: SqliteCatalog | PostgresCatalog) -> duckdb.DuckDBPyConnection:
    # The extensions come from packages that pip has checked: to check the signature of 70 MB again
    # takes 0.2 s a connection. Whoever uses the connection loads none without one.
    unsigned = duckdb.connect(":memory:", config={"allow_unsigned_extensions": "true"})
    with _closed_on_error(unsigned) as connection:
        for extension in ("ducklake", catalog.extension):
            load_extension(connection, extension)
        connection.execute("SET allow_unsigned_extensions = false")
        connection.execute("SET TimeZone = 'UTC'")
    return connection


@contextmanager
def _closed_on_error(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    with ExitStack() as undo:
        undo.callback(connection.close)
        yield connection
        undo.pop_all()


def _journal(catalog: SqliteCatalog | PostgresCatalog) -> str:
    return "" if catalog.networked else WAL


def _attach(
    connection: duckdb.DuckDBPyConnection,
    home: LakeLocation,
    option: str = "",
    pen: Path | None = None,
) -> None:
    connection.execute(
        f"ATTACH 'ducklake:{_quoted(home.catalog.url)}' AS lake "
        # The catalog names files relative to the folder, which may have been moved or restored.
        f"(DATA_PATH '{_quoted(str(pen or home.files))}/', OVERRIDE_DATA_PATH true"
        f"{home.catalog.options}{option})"
    )
    connection.execute("USE lake")


def _quoted(text: str) -> str:
    return text.replace("'", "''")


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
                log.info("%s: column %s is new", table.name, column.name)
                connection.execute(f"ALTER TABLE {table.name} ADD COLUMN {column.ddl}")


def _create_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the views anew where their text has changed."""
    known = _names(connection, "duckdb_views()", "view_name, comment")
    for view in VIEWS:
        name, text = view.name, view.sql
        if (name, text) not in known:
            log.debug("view %s is made anew", name)
            connection.execute(f"CREATE OR REPLACE VIEW {name} AS {text}")
            connection.execute(f"COMMENT ON VIEW {name} IS '{text.replace(chr(39), chr(39) * 2)}'")


def _names(
    connection: duckdb.DuckDBPyConnection, source: str, columns: str, database: str = "lake"
) -> set[Any]:
    rows = connection.execute(
        f"SELECT {columns} FROM {source} WHERE database_name = '{database}'"
    ).fetchall()
    return {row[0] if len(row) == 1 else row for row in rows}
