"""The files of a lake that a sandbox may read, and whether they are still the same ones."""

from pathlib import Path

from storage.config.folders import Folders

__all__ = ["lake_paths", "lake_stamp"]

Stamp = tuple[tuple[int, int] | None, ...]


def lake_paths(folders: Folders) -> list[Path]:
    """The catalog with its WAL and index, and the locks of readers."""
    catalog = folders.catalog
    beside = [catalog.with_name(catalog.name + ending) for ending in ("-wal", "-shm")]
    return [catalog, *beside, folders.merge_gate, folders.merge_lock]


def lake_stamp(folders: Folders, files: Path) -> Stamp:
    """Identify these files and the folder of the lake; another stamp means other files."""
    return tuple(_identity(path) for path in (files, *lake_paths(folders)))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
