"""Snapshots of a SQLite catalog on the disk: whole copies, of which the newest few are kept.

They are as old as the last maintenance at most. What was committed after one is in Parquet files,
so that both together make the catalog again (storage.lake.rebuild).
"""

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from storage.config.folders import Folders
from storage.platform.durability import fsync_directory, sync_file
from storage.platform.failpoints import failpoint

__all__ = [
    "newest_snapshot", "snapshot_time", "snapshots", "take_snapshot",
]  # fmt: skip

log = logging.getLogger(__name__)

# With maintenance every 5 minutes these reach back 15 minutes, as far as replaced files do. Older
# ones would keep names of servers that were deleted.
KEPT = 4
STAMP = "%Y%m%dT%H%M%S.%fZ"
PREFIX, SUFFIX = "catalog-", ".sqlite"


def snapshots(folders: Folders) -> list[Path]:
    """The snapshots, newest first."""
    paths = folders.catalog_snapshots.glob(f"{PREFIX}*{SUFFIX}")
    return sorted((p for p in paths if _time(p) is not None), reverse=True)


def newest_snapshot(folders: Folders) -> Path | None:
    """The newest snapshot; None if there is none."""
    return next(iter(snapshots(folders)), None)


def snapshot_time(path: Path) -> datetime:
    """When a snapshot was taken. Raises ValueError for another file."""
    ts = _time(path)
    if ts is None:
        raise ValueError(
            f"{path} is not a snapshot (expected for example {PREFIX}20260101T000000Z)"
        )
    return ts


def _time(path: Path) -> datetime | None:
    try:
        return datetime.strptime(path.name, f"{PREFIX}{STAMP}{SUFFIX}").replace(tzinfo=UTC)
    except ValueError:
        return None


def take_snapshot(folders: Folders, copy: Callable[[Path], None], now: datetime) -> Path:
    """Write a snapshot by `copy`, which writes a file; atomic and fsynced. Old ones are removed.

    Raises what `copy` raises, and OSError; then the earlier snapshots stay.
    """
    began = time.perf_counter()
    folder = folders.catalog_snapshots
    folder.mkdir(mode=0o700, exist_ok=True)
    for leftover in folder.glob("*.partial"):
        leftover.unlink()
    final = folder / now.astimezone(UTC).strftime(f"{PREFIX}{STAMP}{SUFFIX}")
    partial = final.with_name(f"{final.name}.{os.getpid()}.partial")
    try:
        copy(partial)
        failpoint("catalog snapshot written")
        sync_file(partial)
        partial.replace(final)
        fsync_directory(folder)
    finally:
        partial.unlink(missing_ok=True)
    for old in snapshots(folders)[KEPT:]:
        old.unlink()
    took_ms = 1000 * (time.perf_counter() - began)
    log.debug("catalog snapshot %s: %d bytes, %.1f ms", final.name, final.stat().st_size, took_ms)
    return final
