"""Attaching the lake for writing and reading, its creation and schema evolution, reader locks."""

import fcntl
import logging
import tempfile
import time
import uuid
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import duckdb

from storage.config.folders import Folders
from storage.config.settings import SettingsError
from storage.errors import HoursightError, LakeMissing, LakeUnreadable
from storage.lake.catalog import (
    LakeLocation,
    PostgresCatalog,
    SqliteCatalog,
    lake_location,
)
from storage.lake.catalog_loss import (
    check_catalog_file,
    check_catalog_id,
    loss_named,
    loss_of,
    mark,
)
from storage.lake.duckdb_errors import is_missing_lake
from storage.lake.extensions import ExtensionMissing, load_extension
from storage.lake.file_layout import lay_out
from storage.lake.lake_contents import has_parquet
from storage.lake.read_only_folder import catalog_copy, is_writable, shared_lock
from storage.model.schema import STOCK, Schema
from storage.model.views import VIEWS
from storage.platform.private_files import open_lock

__all__ = [
    "SPILL_LIMIT",
    "SPILL_PREFIX",
    "ReadersBusy",
    "attach_copy",
    "attach_lake",
    "attach_new",
    "attach_reader",
    "attach_writer",
    "connect_for",
    "copy_catalog",
    "evolve",
    "merge_lock",
    "reader_lock",
]  # fmt: skip

log = logging.getLogger(__name__)

SQL = Path(__file__).parents[1] / "sql"

WAL = ", META_JOURNAL_MODE 'WAL'"
NOT_NEW = ", CREATE_IF_NOT_EXISTS false"
WRITER_MEMORY = "2GB"
SPILL_PREFIX = "spill-"
SPILL_LIMIT = "8GB"
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
    for lock in (folders.merge_gate, folders.merge_lock):
        open_lock(lock).close()  # for readers who cannot create them
    check_catalog_file(folders, location)
    with (
        _closed_on_error(connect_for(location.catalog)) as connection,
        loss_named(folders, location),
    ):
        connection.execute(f"SET threads = 1; SET memory_limit = '{WRITER_MEMORY}'")
        # It keeps blocks of files that were merged away, up to the memory limit (1.5.5).
        connection.execute("SET enable_external_file_cache = false")
        _set_spill(connection, folders)
        # After a conflict on the snapshot's number the writer must read the lake again, not retry.
        connection.execute("SET ducklake_max_retry_count = 0")
        option = NOT_NEW if has_parquet(location.files) else ""
        attach_lake(connection, location, _journal(location.catalog) + option)
        check_catalog_id(connection, folders, location)
        if data_path is not None:
            connection.execute("USE memory; DETACH lake")
            attach_lake(connection, location, data_path=data_path)
        evolve(connection, schema)
        mark(connection, location.files)
    return connection


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
    lay_out(connection, schema)  # a table has no options before its commit


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
    try:
        check_catalog_file(folders, location)
        if location.catalog.identity() is None:
            raise LakeMissing(folders.data)
    except PermissionError as error:
        raise LakeUnreadable(
            f"{folders.data} cannot be read by this user ({error.strerror})",
            "run this as the folder's owner, or ask the owner for read permission",
        ) from error
    option = "" if snapshot is None else f", SNAPSHOT_VERSION {snapshot}"
    with (
        _closed_on_error(_attached_to_read(folders, location, option)) as connection,
        loss_named(folders, location),
    ):
        check_catalog_id(connection, folders, location)
        if not connection.execute(HAS_TABLES).fetchall():  # the writer is creating them
            raise LakeMissing(folders.data)
    return connection


def _attached_to_read(
    folders: Folders, location: LakeLocation, option: str
) -> duckdb.DuckDBPyConnection:
    if isinstance(location.catalog, PostgresCatalog):
        return _attached(folders, location, option)
    if is_writable(folders.data):
        return _attached(folders, location, WAL + option)
    try:
        return _attached(folders, location, option)
    except LakeUnreadable as error:
        log.debug("%s is not writable, a copy of the catalog is read: %s", folders.data, error)
    with ExitStack() as stack:
        copied = SqliteCatalog(stack.enter_context(catalog_copy(location.catalog.path)))
        connection = _attached(folders, replace(location, catalog=copied), WAL + option)
        weakref.finalize(connection, stack.pop_all().close)
    return connection


def attach_copy(folders: Folders) -> duckdb.DuckDBPyConnection:
    """A read-only connection to a copy of a lake; it changes no file, not even to WAL mode."""
    return _attached(folders, lake_location(folders), "")


def _attached(folders: Folders, location: LakeLocation, option: str) -> duckdb.DuckDBPyConnection:
    began = time.perf_counter()
    try:
        with _closed_on_error(connect_for(location.catalog)) as connection:
            connection.execute(f"SET memory_limit = '{location.reader_memory}'")
            _set_spill(connection, folders)
            # More threads take twice the CPU time for the many small reads of the catalog.
            connection.execute("SET threads = 1")
            attach_lake(connection, location, f"{option}, READ_ONLY")
            connection.execute("RESET threads")
    except ExtensionMissing as error:
        raise LakeUnreadable(str(error)) from error
    except duckdb.Error as error:
        raise _unreadable(folders, location, error) from error
    took_ms = 1000 * (time.perf_counter() - began)
    log.debug("catalog %s attached to read in %.1f ms", location.catalog, took_ms)
    return connection


def _unreadable(folders: Folders, location: LakeLocation, error: duckdb.Error) -> HoursightError:
    if lost := loss_of(folders, location, error):
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
    with _closed_on_error(connect_for(location.catalog)) as connection:
        attach_lake(connection, location, _journal(location.catalog))
    return connection


def copy_catalog(source: LakeLocation, target: Path, files: Path) -> None:
    """Copy the current catalog of `source` into a new SQLite catalog `target` for `files`."""
    connection = connect_for(source.catalog)
    try:
        load_extension(connection, SqliteCatalog.extension)
        attach_lake(connection, source, f"{_journal(source.catalog)}, READ_ONLY")
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
    with shared_lock(folders.merge_gate):
        pass
    with shared_lock(folders.merge_lock):
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
    with open_lock(folders.merge_lock) as lock, open_lock(folders.merge_gate) as gate:
        began = time.perf_counter()
        if not _locked(lock, patience_s):
            log.debug("no gap between readers within %g s: the merge gate closes", patience_s)
            if not (_locked(gate, patience_s) and _locked(lock, patience_s)):
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


def connect_for(
    catalog: SqliteCatalog | PostgresCatalog, **config: str
) -> duckdb.DuckDBPyConnection:
    """A connection that has loaded what a lake with this catalog needs."""
    # The extensions come from packages that pip has verified; checking the signature of 70 MB again
    # takes 0.2 s. Unsigned extensions are disabled again once these are loaded.
    unsigned = duckdb.connect(":memory:", config={"allow_unsigned_extensions": "true", **config})
    with _closed_on_error(unsigned) as connection:
        for extension in ("ducklake", catalog.extension):
            load_extension(connection, extension)
        connection.execute("SET allow_unsigned_extensions = false")
        connection.execute("SET TimeZone = 'UTC'")
    return connection


def _set_spill(connection: duckdb.DuckDBPyConnection, folders: Folders) -> None:
    """Name the folder that a query which needs more memory writes to; DuckDB creates it then."""
    place = folders.data
    if not is_writable(place):
        private = tempfile.TemporaryDirectory(prefix="hoursight-")
        weakref.finalize(connection, private.cleanup)
        place = Path(private.name)
    folder = place / f"{SPILL_PREFIX}{uuid.uuid4().hex[:12]}"
    connection.execute(
        f"SET temp_directory = '{_quoted(str(folder))}'; "
        f"SET max_temp_directory_size = '{SPILL_LIMIT}'"
    )


@contextmanager
def _closed_on_error(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    with ExitStack() as undo:
        undo.callback(connection.close)
        yield connection
        undo.pop_all()


def _journal(catalog: SqliteCatalog | PostgresCatalog) -> str:
    return "" if catalog.networked else WAL


def attach_lake(
    connection: duckdb.DuckDBPyConnection,
    location: LakeLocation,
    option: str = "",
    data_path: Path | None = None,
) -> None:
    """Attach the lake under the name `lake`, and use it."""
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
