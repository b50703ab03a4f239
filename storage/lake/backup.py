"""Backup and restore of a whole data folder, as one file, while the system runs.

It needs no writer: Parquet files never change, so that links to them and a copy of the catalog are
a consistent lake as of one snapshot. storage.lake.backup_archive has the format of the file.
"""

import glob
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import msgspec

from storage.config.folders import Folders
from storage.config.settings import LakeSettings, read_settings, write_settings
from storage.errors import LakeUnreadable
from storage.lake.attach import attach_copy, attach_reader, copy_catalog
from storage.lake.backup_archive import (
    BackupRefused,
    Manifest,
    OnProgress,
    TableSum,
    extract_archive,
    write_archive,
)
from storage.lake.catalog import LakeLocation, PostgresCatalog, lake_location
from storage.lake.catalog_loss import record_backup
from storage.lake.read_only_folder import catalog_copy, is_writable
from storage.lake.staged_files import FileRemoved, StagedFiles, link, stage_files
from storage.platform.durability import disk_problem, fsync_directory
from storage.platform.failpoints import failpoint
from storage.platform.private_files import create_private_folder

__all__ = [
    "BackupRefused", "Manifest", "OnProgress", "TableSum", "back_up", "drop_abandoned", "restore",
]  # fmt: skip

ATTEMPTS = 5
# Folders that are backed up whole; of the lake, the files that the catalog names.
WHOLE_FOLDERS = ("inbox", "pending", "rejected", "models", "functions", "sources", "alerts")
EXCLUDED_SUFFIXES = (".partial", ".pyc")

# A consistent copy of the catalog, WAL included. In a process of its own: closing a second SQLite
# connection would drop the locks of the process that has it attached.
COPY_CATALOG = """
import sqlite3, sys
source = sqlite3.connect(sys.argv[1], timeout=30)
source.execute("VACUUM INTO ?", (sys.argv[2],))
source.close()
"""
# Isolated, so that a module in the working directory cannot replace Python's own.
COPY = (sys.executable, "-I", "-S", "-c", COPY_CATALOG)


def back_up(data: Path | str, target: Path, on_progress: OnProgress | None = None) -> Manifest:
    """Write a backup of the folder `data` to the file `target`; the system may be running.

    It includes the inbox and the write-ahead log, so that no accepted row is missing. `on_progress`
    is called with the bytes done and the total. Raises LakeMissing, LakeUnreadable
    and BackupRefused.
    """
    folders = Folders.at(data)
    if not lake_location(folders).catalog.networked:
        attach_reader(folders).close()  # no backup of nothing: the catalog is that of the files
    if target.exists():
        raise BackupRefused(f"{target} exists already: name another file, or remove that one")
    _drop_partials(target)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.{os.getpid()}.partial")
    try:
        with _staged(folders, target) as (staged, files):
            manifest = replace(
                _summed(staged), left_out=files.left_out, unverified=files.unverified
            )
            write_archive(staged.data, partial, manifest, on_progress)
        failpoint("backup: archive written")
        partial.rename(target)
        fsync_directory(target.absolute().parent)
        failpoint("backup: archive named")
    except OSError as error:
        problem = disk_problem(target.absolute().parent, error) or error
        raise BackupRefused(f"no backup was made: {problem}") from error
    finally:
        partial.unlink(missing_ok=True)
    record_backup(folders, target)
    return manifest


def restore(archive: Path, data: Path | str, on_progress: OnProgress | None = None) -> Manifest:
    """Restore a backup to the folder `data`, which must be new or empty.

    The folder appears only after each file's hash, each table's row count and, with the same
    engine, the hash of its rows were verified. The next writer upgrades it to its version. Raises
    BackupRefused.
    """
    target = Path(data).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupRefused(f"{target} is not empty: name a new folder with --data")
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        create_private_folder(partial)
        manifest = extract_archive(archive, partial, on_progress)
        _verify(Folders.at(partial), manifest)
        _set_wal_mode(Folders.at(partial).create())
        if target.exists():
            target.rmdir()
        partial.rename(target)
        fsync_directory(target.parent)
    except OSError as error:
        problem = disk_problem(target.parent, error) or error
        raise BackupRefused(f"nothing was restored: {problem}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def drop_abandoned(folders: Folders) -> None:
    """Remove the links of killed backups, which would keep replaced files on the disk."""
    for leftover in folders.staging.glob("*"):
        if not _is_running(leftover.name.partition("-")[0]):
            shutil.rmtree(leftover, ignore_errors=True)


def _drop_partials(target: Path) -> None:
    """Remove partial files of killed backups to the same target."""
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
        if not _is_running(leftover.name.split(".")[-2]):
            leftover.unlink(missing_ok=True)


def _is_running(pid: str) -> bool:
    return Path("/proc", pid).exists()


@contextmanager
def _staged(folders: Folders, target: Path) -> Iterator[tuple[Folders, StagedFiles]]:
    """A data folder of links to all files of a backup, with a copy of the catalog.

    Where the data folder is not writable, the links, or copies, are made beside `target`.
    """
    if not is_writable(folders.data):
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as beside:
            yield _stage_with_retries(folders, Path(beside))
        return
    drop_abandoned(folders)
    folder = folders.staging / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        yield _stage_with_retries(folders, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folders.staging.rmdir()


def _stage_with_retries(folders: Folders, folder: Path) -> tuple[Folders, StagedFiles]:
    missing: set[str] = set()
    for attempt in range(ATTEMPTS):
        staged = Folders.at(folder / str(attempt))
        try:
            return staged, _stage(folders, staged, missing)
        except FileRemoved as error:
            missing.add(error.path)  # if a new copy of the catalog names it again
    raise BackupRefused("maintenance removed files while they were being linked: try again")


def _stage(folders: Folders, staged: Folders, missing: set[str]) -> StagedFiles:
    staged.create()
    # Before the catalog: a segment committed in between is in both, and dropped as repeated.
    for kind in WHOLE_FOLDERS:
        for path in sorted(getattr(folders, kind).rglob("*")):
            if path.is_file() and path.suffix not in EXCLUDED_SUFFIXES:
                with suppress(FileNotFoundError):
                    link(path, staged.data / path.relative_to(folders.data))
    failpoint("backup: inbox linked")
    location = lake_location(folders)
    _copy_settings(folders, staged)
    with suppress(FileNotFoundError):
        shutil.copy2(folders.saved_queries, staged.saved_queries)
    _copy_catalog(location, staged)
    failpoint("backup: catalog copied")
    files = stage_files(folders, location.files, staged, missing)
    failpoint("backup: lake linked")
    return files


def _copy_settings(folders: Folders, staged: Folders) -> None:
    """Copy the settings without the lake's location: a restored folder has its own lake."""
    settings = read_settings(folders.data)
    if settings.lake != LakeSettings():
        write_settings(staged.data, msgspec.structs.replace(settings, lake=LakeSettings()))
    elif folders.settings.exists():
        shutil.copy2(folders.settings, staged.settings)


def _copy_catalog(location: LakeLocation, staged: Folders) -> None:
    if isinstance(location.catalog, PostgresCatalog):
        try:
            copy_catalog(location, staged.catalog, staged.lake)
        except duckdb.Error as error:
            reason = location.catalog.diagnose(error) or str(error)
            raise BackupRefused(f"the catalog could not be copied: {reason}") from error
        return
    if not is_writable(location.catalog.path.parent):
        _copy_unwritable_catalog(location.catalog.path, staged.catalog)
        return
    copied = subprocess.run(
        [*COPY, str(location.catalog.path), str(staged.catalog)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if copied.returncode:
        reason = (
            disk_problem(location.catalog.path.parent) or copied.stderr.strip().rpartition("\n")[2]
        )
        raise BackupRefused(f"the catalog could not be copied: {reason}")


def _copy_unwritable_catalog(catalog: Path, target: Path) -> None:
    """Copy by a private copy, to which nothing else in this process has a connection."""
    try:
        with catalog_copy(catalog) as copied, closing(sqlite3.connect(copied)) as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        raise BackupRefused(f"the catalog could not be copied: {error}") from error


def _summed(staged: Folders) -> Manifest:
    """The manifest of the staged lake, still without hashes of files."""
    connection = attach_copy(staged)
    try:
        snapshot = connection.execute("FROM ducklake_current_snapshot('lake')").fetchone()
        tables = {name: _sum_of(connection, name) for name in _table_names(connection)}
    finally:
        connection.close()
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(made_at, int(snapshot[0]) if snapshot else 0, duckdb.__version__, tables)


def _table_names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' ORDER BY 1"
    ).fetchall()
    return [row[0] for row in rows]


def _sum_of(connection: duckdb.DuckDBPyConnection, name: str) -> TableSum:
    row = connection.execute(f'SELECT count(*), sum(hash(t)) FROM "{name}" AS t').fetchone()
    assert row is not None
    return TableSum(int(row[0]), str(row[1] or 0))


def _set_wal_mode(restored: Folders) -> None:
    """Set the catalog to WAL mode, which readers expect and cannot set themselves."""
    with closing(sqlite3.connect(restored.catalog)) as catalog:
        catalog.execute("PRAGMA journal_mode = WAL")


def _verify(restored: Folders, manifest: Manifest) -> None:
    """Count and hash the rows again. Raises BackupRefused for a table that differs."""
    try:
        now = _summed(restored)
    except (duckdb.Error, LakeUnreadable) as error:
        raise BackupRefused(f"the restored lake cannot be read: {error}") from error
    same_hash = now.engine == manifest.engine  # another version may hash otherwise
    for name, then in manifest.tables.items():
        restored_sum = now.tables.get(name, TableSum(0, "0"))
        same_rows = restored_sum.rows == then.rows
        if not same_rows or (same_hash and restored_sum.hash_sum != then.hash_sum):
            raise BackupRefused(
                f"{name} has {restored_sum.rows} rows (expected {then.rows}), or other values: use "
                "another backup"
            )
