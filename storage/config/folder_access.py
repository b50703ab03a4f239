"""Who may read a data folder: its user alone, or a group too where the settings say so."""

import os
from collections.abc import Iterator
from pathlib import Path

from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.platform.lock_holders import LockHolder, lock_holders
from storage.platform.private_files import GROUP_MODE, PRIVATE_MODE, apply_mode, paths_beyond

__all__ = ["close_to_others", "folder_mode", "foreign_locks", "paths_open_to_others"]

# What a group reads: the lake, and not keys, locks, or sources with their passwords.
SHARED = (
    "announce", "catalog.sqlite", "catalog.sqlite-shm", "catalog.sqlite-wal", "hoursight.toml",
    "lake", "latest.arrow",
)  # fmt: skip


def folder_mode(settings: Settings) -> int:
    """The mode of the data folder, and of the files of the lake."""
    return GROUP_MODE if settings.data.group_readable else PRIVATE_MODE


def paths_open_to_others(folders: Folders, settings: Settings) -> Iterator[Path]:
    """Yield each path that other users can reach although the settings do not share it."""
    data = Path(os.path.realpath(folders.data))
    return paths_beyond(data, folder_mode(settings), _private_entries(data))


def close_to_others(folders: Folders, settings: Settings) -> list[Path]:
    """Grant others what the settings share and nothing else; return the paths that stay open."""
    data = Path(os.path.realpath(folders.data))
    return list(apply_mode(data, folder_mode(settings), _private_entries(data)))


def foreign_locks(folders: Folders) -> Iterator[tuple[Path, LockHolder]]:
    """Yield each lock of the data folder that another user holds, which stops what waits for it.

    A lock that was taken while the folder was open outlasts its closing.
    """
    data = Path(os.path.realpath(folders.data))
    ours = {0, os.geteuid(), data.stat().st_uid} if data.is_dir() else set()
    for path in (*data.glob("*.lock"), *data.glob("*.gate")):
        yield from ((path, each) for each in lock_holders(path) if each.uid not in ours)


def _private_entries(data: Path) -> dict[Path, int]:
    """The mode of each entry of a data folder that is never shared."""
    entries = data.iterdir() if data.is_dir() else ()
    return {path: PRIVATE_MODE for path in entries if path.name not in SHARED}
