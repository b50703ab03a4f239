"""What a data folder takes on the disk, by kind, with the limit of each."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from storage.config.folders import Folders
from storage.lake.attach import SPILL_LIMIT, SPILL_PREFIX
from storage.lake.catalog import lake_location
from storage.lake.leftovers import COMMITTED_RETENTION_S, REJECTED_BYTES
from storage.query.reader import Reader

__all__ = ["DiskUse", "disk_use", "files_below", "orphaned_files"]

WAL_BYTES = 256_000_000
# A younger file may belong to a commit that is being made.
ORPHANED_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Files of one kind: where, how many and their size; `excess` if it is more than the limit."""

    kind: str
    place: str
    files: int
    bytes: int
    limit: str
    excess: bool = False


def disk_use(reader: Reader, now: datetime) -> tuple[DiskUse, ...]:
    """What each kind of file in the reader's data folder takes, the largest first."""
    folders = reader.folders
    location = lake_location(folders)
    in_lake = dict(files_below(location.files))
    orphans = [in_lake[path].st_size for path in orphaned_files(reader, in_lake, now)]
    uses = [
        _use("lake", location.files, in_lake.values(), "retention of each table"),
        DiskUse(
            "orphaned files", str(location.files), len(orphans), sum(orphans),
            "none: left by commits that were interrupted", bool(orphans),
        ),
        *_single_files(folders),
        _folder("catalog snapshots", folders.catalog_snapshots, "the newest 4"),
        _folder("segments", folders.inbox, "until they are committed"),
        _folder("pushed rows", folders.pending, "until they are in a segment"),
        _folder("rejected segments", folders.rejected, f"{REJECTED_BYTES / 1e9:g} GB"),
        _folder("committed segments", folders.committed, f"{COMMITTED_RETENTION_S / 3600:g} h"),
        _folder("damaged files", folders.damaged, "kept until you remove them"),
        _folder("models", folders.models, "the newest 20 candidates"),
        _folder("backups being made", folders.staging, "until they are complete"),
        *_spilled(folders),
    ]  # fmt: skip
    return tuple(sorted((u for u in uses if u.files), key=lambda u: (-u.bytes, u.kind)))


def orphaned_files(
    reader: Reader, in_lake: Mapping[Path, os.stat_result], now: datetime
) -> tuple[Path, ...]:
    """The Parquet files among `in_lake` that no catalog entry names, of more than an hour ago."""
    files = lake_location(reader.folders).files
    oldest = (now - ORPHANED_AFTER).timestamp()
    named = {
        files / path
        for statement in ("named_files", "replaced_files")
        for path in reader.named(statement)["path"].to_pylist()
    }
    return tuple(
        path for path, stat in sorted(in_lake.items())
        if path.suffix == ".parquet" and stat.st_mtime < oldest and path not in named
    )  # fmt: skip


def _single_files(folders: Folders) -> Iterator[DiskUse]:
    """The files that are one of a kind: the catalog, its log, and the outbox."""
    for path, kind, limit in (
        (folders.catalog, "catalog", "grows with the number of files"),
        (folders.catalog.with_name(f"{folders.catalog.name}-wal"), "catalog's log",
         f"{WAL_BYTES / 1e6:g} MB: a longer one belongs to a query that does not end"),
        (folders.outbox, "messages of alerts", "30 days"),
    ):  # fmt: skip
        with suppress(FileNotFoundError):
            size = path.stat().st_size
            excess = kind == "catalog's log" and size > WAL_BYTES
            yield DiskUse(kind, str(path), 1, size, limit, excess)


def _spilled(folders: Folders) -> Iterator[DiskUse]:
    for path in folders.data.glob(f"{SPILL_PREFIX}*"):
        yield _folder(
            "results of large queries", path, f"{SPILL_LIMIT} for each process, while it runs"
        )


def _folder(kind: str, folder: Path, limit: str) -> DiskUse:
    return _use(kind, folder, (stat for _, stat in files_below(folder)), limit)


def _use(kind: str, folder: Path, stats: Iterable[os.stat_result], limit: str) -> DiskUse:
    sizes = [stat.st_size for stat in stats]
    return DiskUse(kind, str(folder), len(sizes), sum(sizes), limit)


def files_below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the regular files below a folder; nothing for one that is missing or not readable."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            with suppress(OSError):  # it was removed meanwhile
                yield path, path.lstat()
