"""Durability: fsync of files and folders, and the cause and remedy of a failed write."""

import errno
import os
from pathlib import Path

from storage.errors import Diagnosis

__all__ = ["disk_problem", "disk_state", "file_problem", "fsync_directory", "sync_file"]

LEAST_FREE_BYTES = 1 << 20
DISK_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def disk_problem(place: Path, error: Exception | None = None) -> Diagnosis | None:
    """Why `place` cannot be written (after `error`), and the remedy; None if it can be."""
    code = error.errno if isinstance(error, OSError) else None
    if state := disk_state(place, code):
        return state
    if code in (errno.EACCES, errno.EPERM) or not os.access(place, os.W_OK):
        return Diagnosis(
            f"this user may not write to {place}",
            "give it write permission, or name another --data",
        )
    return None


def disk_state(place: Path, code: int | None = None) -> Diagnosis | None:
    """Why nobody can write to the disk of `place`, and the remedy; None if somebody can.

    `code` is the number of an error that a write has met.
    """
    try:
        disk = os.statvfs(place)
    except OSError as missing:
        return Diagnosis(
            f"{place} cannot be reached ({missing.strerror})",
            "mount its disk, or name another --data",
        )
    if code == errno.EROFS or disk.f_flag & os.ST_RDONLY:
        return Diagnosis(
            f"the disk of {place} is read-only", "mount it read-write, or name another --data"
        )
    full = disk.f_bavail * disk.f_frsize < LEAST_FREE_BYTES or (
        disk.f_files > 0 and not disk.f_favail
    )
    if code in (errno.ENOSPC, errno.EDQUOT) or full:
        return Diagnosis(
            f"the disk of {place} is full", "free some space there, and work resumes by itself"
        )
    return None


def file_problem(error: OSError) -> Diagnosis | None:
    """Which file or disk an error is about, and the remedy; None if it is about neither."""
    if error.filename is None:
        if error.errno not in DISK_ERRORS:
            return None
        return Diagnosis(
            f"a file could not be written ({error.strerror})",
            "free some space, or name another --data",
        )
    place = Path(os.fsdecode(error.filename))
    # Unlike Path.is_dir, this is false for a name that is too long.
    folder = next((p for p in (place, *place.parents) if os.path.isdir(p)), Path("/"))
    known = disk_problem(folder, error)
    if known is not None and error.errno in DISK_ERRORS:
        return known
    return Diagnosis(
        f"{place} cannot be used ({error.strerror})", "correct that path, or name another --data"
    )


def fsync_directory(folder: Path) -> None:
    """Fsync a folder: the names in it survive a crash."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Fsync a closed file: its content survives a crash."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
