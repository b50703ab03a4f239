"""Loss of the catalog: a lake's folder remembers its catalog, and no other takes its place.

DuckLake creates an empty lake where it finds no catalog, also over the Parquet files of the lost
one. So the folder of the files has a marker with the catalog's id, and a catalog that is missing,
damaged or another one is refused while Parquet files are there.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from storage.config.folders import Folders
from storage.errors import LakeUnreadable
from storage.lake.catalog import LakeLocation, SqliteCatalog, lake_location
from storage.lake.catalog_snapshots import newest_snapshot, snapshot_time
from storage.lake.duckdb_errors import is_damage, is_missing_lake
from storage.lake.lake_contents import contents_of, has_parquet
from storage.platform.durability import fsync_directory, sync_file

__all__ = [
    "CatalogLost", "attached_id", "catalog_fault", "check_catalog_file", "check_catalog_id",
    "check_integrity", "last_backup", "loss_named", "loss_of", "lost_catalog",
    "mark", "marked_id", "record_backup",
]  # fmt: skip

MARKER = "catalog.json"
SQLITE_HEADER = b"SQLite format 3\0"
HEADER_BYTES = 100
LEAST_PAGE_BYTES = 512

CATALOG_ID = """
SELECT schema_uuid FROM __ducklake_metadata_lake.ducklake_schema
WHERE schema_name = 'main' AND end_snapshot IS NULL
"""
NAMED_FILES = """
SELECT tables.path || files.path AS path
FROM __ducklake_metadata_lake.ducklake_data_file AS files
JOIN __ducklake_metadata_lake.ducklake_table AS tables USING (table_id)
"""
# In a process of its own: closing a second connection would drop the locks of the process that has
# the catalog attached.
QUICK_CHECK = """
import json, sqlite3, sys
catalog = sqlite3.connect(sys.argv[1], timeout=30)
try:
    check = catalog.execute("PRAGMA quick_check(1)").fetchone()[0]
    lake = catalog.execute("SELECT 1 FROM sqlite_master WHERE name = 'ducklake_schema'").fetchone()
    ids = lake and catalog.execute("SELECT schema_uuid FROM ducklake_schema").fetchone()
    print(json.dumps([check, ids and ids[0]]))
except sqlite3.OperationalError:  # it cannot be opened, or is locked
    pass
except sqlite3.DatabaseError as error:
    print(json.dumps([str(error), None]))
catalog.close()
"""


class CatalogLost(LakeUnreadable):
    """The lake's Parquet files are there, and their catalog is missing, damaged or another one."""


def lost_catalog(folders: Folders, location: LakeLocation, fault: str) -> CatalogLost:
    """The error for a catalog with a `fault`: what lies there, and what can be done."""
    return CatalogLost(
        f"{location.catalog} {fault}, and {location.files} has {contents_of(location.files)}. "
        "Nothing was changed, and no new lake is made over these files",
        _remedy(folders, location),
    )


@contextmanager
def loss_named(folders: Folders, location: LakeLocation) -> Iterator[None]:
    """Raise CatalogLost in place of DuckDB's error, where it means that."""
    try:
        yield
    except duckdb.Error as error:
        lost = loss_of(folders, location, error)
        if lost is None:
            raise
        raise lost from error


def loss_of(folders: Folders, location: LakeLocation, error: duckdb.Error) -> CatalogLost | None:
    """The error if `error` says that the catalog has no lake or is damaged, and files are there."""
    fault = "has no lake" if is_missing_lake(error) else "is damaged" if is_damage(error) else None
    if fault is None or not has_parquet(location.files):
        return None
    return lost_catalog(folders, location, fault)


def _remedy(folders: Folders, location: LakeLocation) -> str:
    if location.catalog.networked:
        rebuild = "correct [lake] in hoursight.toml, or restore the database from its backup"
    else:
        newest = newest_snapshot(folders)
        source = "from these files"
        if newest is not None:
            source = f"from its snapshot of {snapshot_time(newest):%Y-%m-%d %H:%M:%S} UTC and these"
            source += " files"
        rebuild = f"'hoursight rebuild --data {folders.data}' makes the catalog again {source}"
    backup = last_backup(folders)
    name = "FILE" if backup is None else str(backup)
    note = "" if backup is None else ", the last backup"
    return f"{rebuild}; or 'hoursight restore {name} --data NEW_FOLDER'{note}"


def check_catalog_file(folders: Folders, location: LakeLocation) -> None:
    """Raise CatalogLost if Parquet files are there and a SQLite catalog has an obvious fault."""
    if isinstance(location.catalog, SqliteCatalog):
        fault = catalog_fault(location.catalog.path)
        if fault and has_parquet(location.files):
            raise lost_catalog(folders, location, fault)


def catalog_fault(path: Path) -> str | None:
    """What a look at the file of a SQLite catalog shows: missing, empty, foreign or truncated."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except FileNotFoundError:
        return "is missing"
    except OSError:
        return None  # the attempt to attach it says why
    if not size:
        return "is empty"
    if not header.startswith(SQLITE_HEADER):
        return "is not a SQLite file"
    return "is truncated" if size < _expected_size(path, header) else None


def _expected_size(path: Path, header: bytes) -> int:
    """The size by the header, in bytes; the least possible where a WAL may have the other pages."""
    page = int.from_bytes(header[16:18], "big")
    page_bytes = 65_536 if page == 1 else max(page, LEAST_PAGE_BYTES)
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        return page_bytes
    trustworthy = header[24:28] == header[92:96]  # else an old SQLite wrote it
    return page_bytes * int.from_bytes(header[28:32], "big") if trustworthy else page_bytes


def check_integrity(folders: Folders) -> None:
    """Read a whole SQLite catalog; raise CatalogLost if pages are damaged or it is another one.

    Takes about 50 ms, and 100 ms more for 20 MB.
    """
    location = lake_location(folders)
    check_catalog_file(folders, location)
    if not isinstance(location.catalog, SqliteCatalog) or not location.catalog.path.exists():
        return
    checked = subprocess.run(
        [sys.executable, "-I", "-S", "-c", QUICK_CHECK, str(location.catalog.path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    fault = _integrity_fault(checked.stdout, marked_id(location.files))
    if fault and has_parquet(location.files):
        raise lost_catalog(folders, location, fault)


def _integrity_fault(output: str, marked: str | None) -> str | None:
    if not output:
        return None  # it cannot be opened; the attempt to attach it says why
    check, catalog = json.loads(output)
    if check != "ok":
        return f"is damaged ({check})"
    if catalog is None:
        return "has no lake"
    return "is the catalog of another lake" if marked not in (None, catalog) else None


def check_catalog_id(
    connection: duckdb.DuckDBPyConnection, folders: Folders, location: LakeLocation
) -> None:
    """Raise CatalogLost if the attached catalog is not that of the Parquet files.

    Without a marker (a lake of an earlier release, or restored) a catalog fits that names one of
    the files.
    """
    marked = marked_id(location.files)
    if marked is None and _fits(connection, location):
        return
    if marked is not None and marked == attached_id(connection):
        return
    if has_parquet(location.files):
        raise lost_catalog(folders, location, "is the catalog of another lake")


def _fits(connection: duckdb.DuckDBPyConnection, location: LakeLocation) -> bool:
    names = connection.execute(NAMED_FILES).fetchall()
    return any((location.files / "main" / name).exists() for (name,) in names)


def attached_id(connection: duckdb.DuckDBPyConnection) -> str:
    """The id of the attached catalog, which its copies share."""
    row = connection.execute(CATALOG_ID).fetchone()
    return str(row[0]) if row else ""


def marked_id(files: Path) -> str | None:
    """The id of the catalog that the folder of a lake's files remembers; None if it has none."""
    try:
        catalog = json.loads((files / MARKER).read_text())["catalog"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return catalog if isinstance(catalog, str) else None


def mark(connection: duckdb.DuckDBPyConnection, files: Path) -> None:
    """Let the folder remember the attached catalog. Atomic and fsynced."""
    catalog = attached_id(connection)
    if marked_id(files) == catalog:
        return
    partial = files / f".{MARKER}.{os.getpid()}.partial"
    partial.write_text(json.dumps({"catalog": catalog}) + "\n")
    sync_file(partial)
    partial.replace(files / MARKER)
    fsync_directory(files)


def record_backup(folders: Folders, target: Path) -> None:
    """Remember the file of the last backup, to offer it when the catalog is lost."""
    with suppress(OSError):  # a backup may be made of a folder that is read-only
        folders.last_backup.write_text(json.dumps({"file": str(target.absolute())}) + "\n")


def last_backup(folders: Folders) -> Path | None:
    """The file of the last backup; None if none is known, or it is not there."""
    try:
        file = Path(json.loads(folders.last_backup.read_text())["file"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return file if file.exists() else None
