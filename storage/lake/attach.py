"""Attaching the lake for writing and reading, its creation and schema evolution, reader locks."""

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
from storage.lake.catalog_loss import (
    CatalogLost,
    check_catalog_file,
    check_catalog_id,
    lost_catalog,
    mark,
)
from storage.lake.duckdb_errors import is_damage, is_missing_lake
from storage.lake.lake_contents import has_parquet
from storage.model.schema import STOCK, Schema
from storage.model.views import VIEWS

__all__ = [
    "ReadersBusy",
    "attach_copy",
    "attach_new",
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
NOT_NEW = ", CREATE_IF_NOT_EXISTS false"
GAP_POLL_S = 0.002
LONG_WAIT_S = 0.1  # a wait for a lock that is logged

# Of DuckLake's own tables: duckdb_tables() and duckdb_columns() take 20 times as long.
HAS_TABLES = """
SELECT 1 FROM __ducklake_metadata_lake.ducklake_table WHERE end_snapshot IS NULL LIMIT 1
"""
STORED_COLUMNS = """
SELECT table_name, column_name
FROM __ducklake_metadata_lake.ducklake_table AS tables
JOIN __ducklake_metadata_lake.ducklake_column AS columns USING (table_id)
WHERE tables.end_snapshot IS NULL AND columns.end_snapshot IS NULL AND parent_column IS NULL
"""

# Each value as it is set, and as DuckLake stores it.
LAKE_OPTIONS = {
    "data_inlining_row_limit": ("0", "0"),  # inlined rows are slower here and stored as text
    "parquet_compression": ("zstd", "zstd"),
    "parquet_compression_level": ("3", "3"),
    "parquet_version": ("2", "V2"),
    "sort_on_insert": ("false", "false"),  # the writer has sorted them, in a tenth of the time
    "target_file_size": ("32MB", "32000000"),  # a larger merged day loses its pruning by time
}


class ReadersBusy(HoursightError):
    """Readers left no gap for a merge; the next round of maintenance tries again."""

    retryable = True


def attach_writer(
    folders: Folders, schema: Schema = STOCK, data_path: Path | None = None
) -> duckdb.DuckDBPyConnection:
    """The writer's connection; creates the lake and missing tables, columns and views.

    With `data_path` it writes files by that path; the catalog stores the folder itself. Raises
    CatalogLost where it would create a lake over the files of another.
    """
    location = lake_location(folders)
    check_catalog_file(folders, location)
    with (
        _closed_on_error(_connect(location.catalog)) as connection,
        _loss_named(folders, location),
    ):
        connection.execute("SET threads = 1; SET memory_limit = '2GB'")
        # After a conflict on the snapshot's number the writer must read the lake again, not retry.
        connection.execute("SET ducklake_max_retry_count = 0")
        option = NOT_NEW if has_parquet(location.files) else ""
        _attach(connection, location, _journal(location.catalog) + option)
        check_catalog_id(connection, folders, location)
        if data_path is not None:
            connection.execute("USE memory; DETACH lake")
            _attach(connection, location, data_path=data_path)
        evolve(connection, schema)
        mark(connection, location.files)
    return connection


@contextmanager
def _loss_named(folders: Folders, location: LakeLocation) -> Iterator[None]:
    """Raise CatalogLost in place of DuckDB's error, where it means that and files are there."""
    try:
        yield
    except duckdb.Error as error:
        lost = _loss(folders, location, error)
        if lost is None:
            raise
        raise lost from error


def _loss(folders: Folders, location: LakeLocation, error: duckdb.Error) -> CatalogLost | None:
    fault = "has no lake" if is_missing_lake(error) else "is damaged" if is_damage(error) else None
    if fault is None or not has_parquet(location.files):
        return None
    return lost_catalog(folders, location, fault)


def evolve(connection: duckdb.DuckDBPyConnection, schema: Schema) -> None:
    """Add to the lake what it lacks of `schema`; nothing is removed."""
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


def attach_reader(folders: Folders, snapshot: int | None = None) -> duckdb.DuckDBPyConnection:
    """A read-only connection to the newest commit at each query, or to one snapshot.

    Raises LakeMissing, LakeUnreadable and its subclass CatalogLost.
    """
    try:
        location = lake_location(folders)
    except SettingsError as error:
        raise LakeUnreadable(f"the lake's location is not known: {error}") from error
    check_catalog_file(folders, location)
    if location.catalog.identity() is None:
        raise LakeMissing(folders.data)
    option = _journal(location.catalog)
    if snapshot is not None:
        option += f", SNAPSHOT_VERSION {snapshot}"
    with (
        _closed_on_error(_attached(folders, location, option)) as connection,
        _loss_named(folders, location),
    ):
        check_catalog_id(connection, folders, location)
        if not connection.execute(HAS_TABLES).fetchall():  # the writer is creating them
            raise LakeMissing(folders.data)
    return connection


def attach_copy(folders: Folders) -> duckdb.DuckDBPyConnection:
    """A read-only connection to a copy of a lake; it changes no file, not even to WAL mode."""
    return _attached(folders, lake_location(folders), "")


def _attached(folders: Folders, location: LakeLocation, option: str) -> duckdb.DuckDBPyConnection:
    began = time.perf_counter()
    try:
        with _closed_on_error(_connect(location.catalog)) as connection:
            _attach(connection, location, f"{option}, READ_ONLY")
    except ExtensionMissing as error:
        raise LakeUnreadable(str(error)) from error
    except duckdb.Error as error:
        raise _unreadable(folders, location, error) from error
    took_ms = 1000 * (time.perf_counter() - began)
    log.debug("catalog %s attached to read in %.1f ms", location.catalog, took_ms)
    return connection


def _unreadable(folders: Folders, location: LakeLocation, error: duckdb.Error) -> HoursightError:
    if lost := _loss(folders, location, error):
        return lost
    if is_missing_lake(error):
        return LakeMissing(folders.data)
    known = location.catalog.diagnose(error)
    if known is None:
        return LakeUnreadable(f"{location.catalog} cannot be attached: {error}")
    if location.catalog.networked:
        return LakeUnreadable(known.message, known.remedy)
    return LakeUnreadable(f"{location.catalog} cannot be attached: {known.message}", known.remedy)


def attach_new(location: LakeLocation) -> duckdb.DuckDBPyConnection:
    """A connection that writes a new, empty catalog for the files of `location`."""
    with _closed_on_error(_connect(location.catalog)) as connection:
        _attach(connection, location, _journal(location.catalog))
    return connection


def copy_catalog(source: LakeLocation, target: Path, files: Path) -> None:
    """Copy the current catalog of `source` into a new SQLite catalog `target` for `files`."""
    connection = _connect(source.catalog)
    try:
        load_extension(connection, SqliteCatalog.extension)
        _attach(connection, source, f"{_journal(source.catalog)}, READ_ONLY")
        # DuckLake creates the tables; its initial rows are replaced.
        connection.execute(
            f"ATTACH 'ducklake:sqlite:{_quoted(str(target))}' AS target "
            f"(DATA_PATH '{_quoted(str(files))}/'); DETACH target; "
            f"ATTACH '{_quoted(str(target))}' AS target (TYPE sqlite)"
        )
        connection.execute("BEGIN")
        for name in _names(connection, "duckdb_tables()", "table_name", "target"):
            connection.execute(f"DELETE FROM target.{name}")
            connection.execute(
                f"INSERT INTO target.{name} BY NAME FROM __ducklake_metadata_lake.{name}"
            )
        connection.execute("COMMIT")
    finally:
        connection.close()


@contextmanager
def reader_lock(folders: Folders) -> Iterator[None]:
    """Shared lock of a reader: while it lasts, no merge is committed.

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
    """Exclusive lock of a merge: waits `patience_s` for a gap between readers, then makes one.

    To make one it closes a gate, at which new readers wait until the present ones are done. Raises
    ReadersBusy if one of these takes longer than `patience_s` again.
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
    """Try to lock exclusively for `patience_s`; return True on success."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(GAP_POLL_S)
        else:
            return True


def _connect(catalog: SqliteCatalog | PostgresCatalog) -> duckdb.DuckDBPyConnection:
    # The extensions come from packages that pip has verified; checking the signature of 70 MB again
    # takes 0.2 s. Unsigned extensions are disabled again once these are loaded.
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
    location: LakeLocation,
    option: str = "",
    data_path: Path | None = None,
) -> None:
    connection.execute(
        f"ATTACH 'ducklake:{_quoted(location.catalog.url)}' AS lake "
        # The catalog has paths relative to the folder, which may have been moved or restored.
        f"(DATA_PATH '{_quoted(str(data_path or location.files))}/', OVERRIDE_DATA_PATH true"
        f"{location.catalog.options}{option})"
    )
    connection.execute("USE lake")


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _set_options(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute("SELECT option_name, value FROM ducklake_options('lake')").fetchall()
    options = dict(rows)
    for name, (value, stored) in LAKE_OPTIONS.items():
        if options.get(name) != stored:
            connection.execute("CALL lake.set_option(?, ?)", [name, value])


def _create_tables(connection: duckdb.DuckDBPyConnection, schema: Schema) -> None:
    columns = set(connection.execute(STORED_COLUMNS).fetchall())
    present = {table_name for table_name, _ in columns}
    for table in schema.tables:
        if table.name not in present:
            for statement in table.ddl():
                connection.execute(statement)
            continue
        for column in table.columns:
            if (table.name, column.name) not in columns:
                log.info("%s: column %s added", table.name, column.name)
                connection.execute(f"ALTER TABLE {table.name} ADD COLUMN {column.ddl}")


def _create_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the views whose text is not the stored one."""
    known = _names(connection, "duckdb_views()", "view_name, comment")
    for view in VIEWS:
        name, text = view.name, view.sql
        if (name, text) not in known:
            log.debug("view %s created", name)
            connection.execute(f"CREATE OR REPLACE VIEW {name} AS {text}")
            connection.execute(f"COMMENT ON VIEW {name} IS '{text.replace(chr(39), chr(39) * 2)}'")


def _names(
    connection: duckdb.DuckDBPyConnection, source: str, columns: str, database: str = "lake"
) -> set[Any]:
    rows = connection.execute(
        f"SELECT {columns} FROM {source} WHERE database_name = '{database}'"
    ).fetchall()
    return {row[0] if len(row) == 1 else row for row in rows}
