"""Files of a data folder beside the lake that are removed in time: leftovers and old rejects."""

import logging
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from storage.config.folders import Folders
from storage.lake.attach import SPILL_PREFIX
from storage.lake.backup import drop_abandoned

__all__ = ["COMMITTED_RETENTION_S", "REJECTED_BYTES", "remove_leftovers"]

log = logging.getLogger(__name__)

ABANDONED_S = 3600.0
COMMITTED_RETENTION_S = 3600.0
SPILL_RETENTION_S = 86_400.0  # longer than any query takes
REJECTED_BYTES = 1_000_000_000


def remove_leftovers(folders: Folders) -> None:
    """Remove leftovers of killed processes, old committed segments, and the oldest rejected ones.

    Rejected segments may take `REJECTED_BYTES`, with their reasons.
    """
    drop_abandoned(folders)
    _drop_older(folders.inbox.glob("*.partial"), ABANDONED_S)
    _drop_older(folders.committed.glob("*.parquet"), COMMITTED_RETENTION_S)
    _drop_older(folders.data.glob(f"{SPILL_PREFIX}*"), SPILL_RETENTION_S)
    _drop_beyond(folders.rejected, REJECTED_BYTES)


def _drop_older(paths: Iterable[Path], age_s: float) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > age_s:
                log.debug("removing %s, older than %.0f s", path.name, age_s)
                _remove(path)


def _drop_beyond(folder: Path, limit: int) -> None:
    """Remove the oldest files of a folder until the others take `limit` bytes at most."""
    files = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            stat = path.lstat()
            files.append((stat.st_mtime, stat.st_size, path))
    excess, removed = sum(size for _, size, _ in files) - limit, 0
    for _, size, path in sorted(files):
        if excess <= 0:
            break
        _remove(path)
        excess, removed = excess - size, removed + 1
    if removed:
        log.warning(
            "%s: the oldest %d files were removed: they may take %.1f GB", folder, removed,
            limit / 1e9,
        )  # fmt: skip


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
