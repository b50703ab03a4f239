"""Rebuild of a lost SQLite catalog from the Parquet files, with or without a snapshot of it.

The new catalog is built in a file of its own and takes the old one's place at the end: a rebuild
that is cut off leaves the refusal to start as it was.
"""

import logging
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from storage.config.folder_access import folder_mode
from storage.config.folders import Folders
from storage.config.settings import read_settings, schema_of
from storage.errors import HoursightError, LakeMissing, LakeUnreadable
from storage.lake.attach import attach_new, attach_reader
from storage.lake.catalog import LakeLocation, SqliteCatalog, lake_location
from storage.lake.catalog_builder import CatalogBuilder, TableCount
from storage.lake.catalog_loss import CatalogLost, check_integrity, mark, marked_id
from storage.lake.catalog_snapshots import snapshot_time, snapshots
from storage.lake.hash_manifest import HashManifest
from storage.lake.lake_files import CatalogEvidence, LakeFiles, evidence_of, read_lake_files
from storage.lake.surviving_rows import identity_columns
from storage.lake.writer import WriterRunning
from storage.model.schema import Schema
from storage.platform.durability import fsync_directory, sync_file
from storage.platform.failpoints import failpoint
from storage.platform.private_files import restrict_new_files
from storage.platform.process import exclusive_lock

__all__ = ["RebuildRefused", "RebuildReport", "rebuild"]

log = logging.getLogger(__name__)

BUILDING = "catalog.rebuild.sqlite"
SIDE_FILES = ("", "-wal", "-shm")
MEMORY_LIMIT = "2GB"
# Rows by the commit log, of days of which the table has none.
UNACCOUNTED = """
SELECT strftime(first_ts, '%Y-%m-%d') AS day, sum(rows_committed)::BIGINT AS rows FROM segments
WHERE table_name = $name AND outcome = 'committed' AND rows_committed > 0
    AND strftime(first_ts, '%Y-%m-%d') = strftime(last_ts, '%Y-%m-%d')
    AND strftime(first_ts, '%Y-%m-%d') NOT IN (SELECT strftime({time}, '%Y-%m-%d') FROM {name})
GROUP BY 1 ORDER BY 1
"""

OnProgress = Callable[[int, int], None]


class RebuildRefused(HoursightError):
    """No catalog was rebuilt, and nothing was changed; the message says why."""


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild found and made."""

    tables: Sequence[TableCount]
    snapshot: Path | None  # the catalog snapshot that was used
    unreadable: Sequence[tuple[str, str]]  # paths and reasons; these files stay where they are
    unknown: Sequence[str]  # files of no known table; they stay too
    missing_rows: int  # of files that the snapshot names and that are not there
    missing_files: int
    unaccounted: Sequence[tuple[str, str, int]]  # table, day, rows of the commit log
    put_aside: Path | None = None  # the old catalog


@dataclass
class _Built:
    counts: list[TableCount]
    unknown: list[str]
    unaccounted: list[tuple[str, str, int]] = field(default_factory=list)


def rebuild(
    data: Path | str,
    snapshot: Path | None = None,
    *,
    files_only: bool = False,
    force: bool = False,
    on_progress: OnProgress = lambda _done, _total: None,
) -> RebuildReport:
    """Make the catalog of the folder `data` again, and verify it by counts.

    By default it uses the newest catalog snapshot, for the files that were there then; with
    `files_only` none. `on_progress` gets the bytes done and the total. Raises RebuildRefused,
    WriterRunning, LakeMissing and OSError.
    """
    folders = Folders.at(data)
    location = lake_location(folders)
    if not isinstance(location.catalog, SqliteCatalog):
        raise RebuildRefused(
            f"{location.catalog} cannot be rebuilt from here",
            "restore the database from its pg_dump, or a Hoursight backup into a new folder",
        )
    if not location.files.is_dir():
        raise LakeMissing(folders.data)
    lock = exclusive_lock(folders.data / "writer.lock")
    if lock is None:
        raise WriterRunning(f"a writer uses {folders.data}: stop it first")
    with lock:
        restrict_new_files(folder_mode(read_settings(folders.data)))
        if not force:
            _refuse_whole(folders)
        used = _evidence(folders, location, snapshot, files_only)
        return _rebuild(folders, location, used, on_progress)


def _refuse_whole(folders: Folders) -> None:
    try:
        check_integrity(folders)
        attach_reader(folders).close()
    except CatalogLost:
        return
    except LakeMissing:
        raise
    except LakeUnreadable as error:
        raise RebuildRefused(
            f"whether the catalog is lost is not known: {error}",
            "correct that first, or name --force",
        ) from error
    raise RebuildRefused(
        f"the catalog of {folders.data} is whole: nothing has to be rebuilt",
        "with --force it is put aside and made again",
    )


def _evidence(
    folders: Folders, location: LakeLocation, named: Path | None, files_only: bool
) -> tuple[Path, CatalogEvidence] | None:
    """The named snapshot, or the newest one that can be used; None without one."""
    if named is not None:
        return named, _evidence_of(folders, location, named)
    for path in [] if files_only else snapshots(folders):
        try:
            return path, _evidence_of(folders, location, path)
        except RebuildRefused as error:
            log.warning("%s", error.message)
    return None


def _evidence_of(folders: Folders, location: LakeLocation, path: Path) -> CatalogEvidence:
    remedy = f"name another one of {folders.catalog_snapshots}, or --files-only"
    try:
        evidence = evidence_of(path, _taken_at(path))
    except sqlite3.Error as error:
        raise RebuildRefused(f"{path} is not a catalog snapshot ({error})", remedy) from error
    if marked_id(location.files) not in (None, evidence.catalog):
        raise RebuildRefused(f"{path} is a catalog snapshot of another lake", remedy)
    return evidence


def _taken_at(path: Path) -> datetime:
    try:
        return snapshot_time(path)
    except ValueError:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _rebuild(
    folders: Folders,
    location: LakeLocation,
    used: tuple[Path, CatalogEvidence] | None,
    on_progress: OnProgress,
) -> RebuildReport:
    building = folders.data / BUILDING
    spill = folders.data / "rebuild.tmp"
    evidence = used[1] if used else None
    with ExitStack() as stack:
        stack.callback(_drop, building)
        stack.callback(shutil.rmtree, spill, ignore_errors=True)
        _drop(building)
        lake = read_lake_files(location.files)
        if not lake.data:
            raise LakeMissing(folders.data)
        target = replace(location, catalog=SqliteCatalog(building))
        built = _build(folders, target, lake, evidence, spill, on_progress)
        put_aside = _place(folders, building)
    missing = _missing(evidence, lake)
    return RebuildReport(
        built.counts, used[0] if used else None, lake.unreadable, built.unknown,
        sum(missing.values()), len(missing), built.unaccounted, put_aside,
    )  # fmt: skip


def _missing(evidence: CatalogEvidence | None, lake: LakeFiles) -> dict[str, int]:
    there = {f.path for f in lake.data} | {path for path, _ in lake.unreadable}
    live = evidence.live if evidence else {}
    return {path: rows for path, rows in live.items() if path not in there}


def _build(
    folders: Folders,
    location: LakeLocation,
    lake: LakeFiles,
    evidence: CatalogEvidence | None,
    spill: Path,
    on_progress: OnProgress,
) -> _Built:
    """Build and verify the catalog, with its files fsynced."""
    schema = schema_of(folders)
    before = {f.path for f in lake.data} | set(lake.masks) | {path for path, _ in lake.unreadable}
    connection = attach_new(location)
    try:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("SET temp_directory = $spill", {"spill": str(spill)})
        builder = CatalogBuilder(connection, location.files, schema, lake, evidence)
        counts = builder.build(on_progress)
        _sync_new(location.files, before)
        builder.finish(marked_id(location.files))
        failpoint("rebuild: files registered")
        _verify(connection, schema, counts)
        unaccounted = _unaccounted(connection, schema)
        mark(connection, location.files)
    finally:
        connection.close()
    return _Built(counts, builder.unknown, unaccounted)


def _sync_new(files: Path, before: set[str]) -> None:
    """Fsync the files that were written in place of merged ones, and record their hashes."""
    new = [
        path for path in files.rglob("*.parquet")
        if path.relative_to(files).as_posix() not in before
    ]  # fmt: skip
    for path in new:
        sync_file(path)
        fsync_directory(path.parent)
    HashManifest(files).record(new)


def _verify(
    connection: duckdb.DuckDBPyConnection, schema: Schema, counts: Sequence[TableCount]
) -> None:
    """Count the rows by the new catalog. Raises RebuildRefused where they differ."""
    for count in (c for c in counts if c.files):
        target = schema.table(count.table)
        key = ", ".join(f'"{name}"' for name in identity_columns(target))
        rows, keys = connection.execute(
            f"SELECT count(*), count(DISTINCT ({key})) FROM {target.name}"
        ).fetchall()[0]
        if rows != count.rows or (target.key and keys != rows):
            raise RebuildRefused(
                f"the new catalog has {rows:,} rows of {target.name} with {keys:,} different keys "
                f"(expected {count.rows:,})",
                "nothing was changed; try --files-only, or restore a backup",
            )


def _unaccounted(
    connection: duckdb.DuckDBPyConnection, schema: Schema
) -> list[tuple[str, str, int]]:
    """Table, day and rows that the commit log names, where the table has no row of that day."""
    unaccounted: list[tuple[str, str, int]] = []
    logged = connection.execute("SELECT DISTINCT table_name FROM segments").fetchall()
    for target in (t for t in schema.tables if (t.name,) in logged):
        sql = UNACCOUNTED.format(name=target.name, time=target.time)
        rows = connection.execute(sql, {"name": target.name}).fetchall()
        unaccounted += [(target.name, day, count) for day, count in rows]
    return unaccounted


def _place(folders: Folders, building: Path) -> Path | None:
    """Put the old catalog aside and the new one in its place; returns where the old one is."""
    sync_file(building)
    folders.last_values.unlink(missing_ok=True)  # by the old catalog's numbers of snapshots
    aside = folders.data / f"catalog.lost-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.sqlite"
    put_aside = None
    # The file itself first: without its WAL it may look whole, and be an older state.
    for suffix in SIDE_FILES:
        old = folders.catalog.with_name(folders.catalog.name + suffix)
        if old.exists():
            old.chmod(0o600)  # the catalog may be shared with a group, this copy is not
            old.replace(aside.with_name(aside.name + suffix))
            put_aside = put_aside or (aside if not suffix else None)
        fsync_directory(folders.data)
    failpoint("rebuild: old catalog put aside")
    building.replace(folders.catalog)
    fsync_directory(folders.data)
    failpoint("rebuild: catalog placed")
    return put_aside


def _drop(building: Path) -> None:
    for suffix in SIDE_FILES:
        building.with_name(building.name + suffix).unlink(missing_ok=True)
