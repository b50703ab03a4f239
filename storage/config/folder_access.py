"""Who may read a data folder: its user alone, or a group too where the settings say so."""

from collections.abc import Iterator
from pathlib import Path

from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.platform.private_files import GROUP_MODE, PRIVATE_MODE, apply_mode, paths_beyond

__all__ = ["close_to_others", "folder_mode", "paths_open_to_others"]

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
    return paths_beyond(folders.data, folder_mode(settings), _private_entries(folders))


def close_to_others(folders: Folders, settings: Settings) -> list[Path]:
    """Grant others what the settings share and nothing else; return the paths that stay open."""
    return list(apply_mode(folders.data, folder_mode(settings), _private_entries(folders)))


def _private_entries(folders: Folders) -> dict[Path, int]:
    """The mode of each entry of a data folder that is never shared."""
    entries = folders.data.iterdir() if folders.data.is_dir() else ()
    return {path: PRIVATE_MODE for path in entries if path.name not in SHARED}
