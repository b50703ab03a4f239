"""Files of a watched folder: whether somebody still writes to one, and where it goes afterwards."""

import errno
import fcntl
import os
import re
import signal
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from functions.normalize.file_readers import FORMS

__all__ = [
    "FolderFile", "Looks", "base_name", "ending_of", "move", "open_for_writing", "reject",
    "stamp_of",
]  # fmt: skip

# How long a file must be quiet where it cannot be known whether somebody has it open.
UNKNOWN_QUIET = timedelta(minutes=10)
NETWORK = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "afs", "lustre", "gluster", "virtiofs")
UNFINISHED = (".partial", ".tmp", ".part")
# What a rotation appends to the name of a file: .1, -20260506, .2026-05-06, .old
ROTATED = re.compile(r"[.\-_~](?:\d[\d\-_.T]*|old|bak)$")


@dataclass(frozen=True, slots=True)
class FolderFile:
    """A file as one look saw it; it was first seen `known` ago, and the same for `quiet`."""

    path: Path
    status: os.stat_result
    quiet: timedelta
    known: timedelta

    @property
    def name(self) -> str:
        """Return its name."""
        return self.path.name

    @property
    def stamp(self) -> str:
        """Return its stamp at the look, as `stamp_of`."""
        return _stamp(self.status)

    def is_complete(self, period: timedelta) -> bool:
        """Return True if nobody has it open for writing, and it was quiet for `period`.

        Where the first cannot be known it must have been quiet for UNKNOWN_QUIET as well.
        """
        if self.quiet < period:
            return False
        is_open = open_for_writing(self.path)
        return self.quiet >= UNKNOWN_QUIET if is_open is None else not is_open


@dataclass(frozen=True, slots=True)
class _Seen:
    stamp: str
    first: datetime
    same: datetime  # first seen with this stamp


class Looks:
    """What the files of a folder looked like, and since when: quiet is what does not change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[int, _Seen] = {}

    def files(self, now: datetime) -> list[FolderFile]:
        """Return the files, the one written first before the others. Raises OSError.

        A file is quiet since its modification time or, where that lies ahead of `now`, since the
        first look that saw it as it is.
        """
        before, self._seen = self._seen, {}
        files = []
        for path in self._folder.iterdir():
            try:
                status = path.stat()
            except OSError:  # deleted meanwhile, or not readable
                continue
            hidden = path.name.startswith(".") or path.suffix in UNFINISHED
            if path.is_file() and not hidden:
                files.append(self._look(path, status, before.get(status.st_ino), now))
        return sorted(files, key=lambda file: (file.status.st_mtime, file.name))

    def _look(
        self, path: Path, status: os.stat_result, before: _Seen | None, now: datetime
    ) -> FolderFile:
        stamp = _stamp(status)
        same = min(before.same, now) if before and before.stamp == stamp else now
        seen = self._seen[status.st_ino] = _Seen(
            stamp, min(before.first, now) if before else now, same
        )
        since_written = timedelta(seconds=now.timestamp() - status.st_mtime)
        return FolderFile(path, status, max(now - same, since_written), now - seen.first)


def open_for_writing(path: Path) -> bool | None:
    """Return True if a process has the file open for writing; None where that cannot be known.

    The kernel refuses a read lease on a file that somebody can write to. Whether one has it open
    cannot be known on a network file system, on systems other than Linux, and without CAP_LEASE
    for the files of other users.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # A writer that comes while we have the lease sends a signal: one that is ignored.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN and not _on_network(path) else None
    finally:
        os.close(file)  # ends the lease
    return False


def _on_network(path: Path) -> bool:
    """Return True for a file system whose leases say nothing about writers, such as NFS."""
    mounts = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    place = path.resolve()
    kind = next((mounts[each] for each in (place, *place.parents) if each in mounts), "")
    return kind.startswith(NETWORK)


def stamp_of(path: Path) -> str:
    """Return inode, size, and times of modification and change; empty for a file that is gone.

    A file that is moved away and back has another time of change.
    """
    try:
        return _stamp(path.stat())
    except OSError:
        return ""


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def ending_of(name: str) -> str:
    """Return what a file's form goes by: '.csv' of load.csv, load.CSV and load.csv.1."""
    ending = Path(name).suffix.lower()
    before = Path(base_name(name)).suffix.lower()
    return before if ending not in FORMS and before in FORMS else ending


def base_name(name: str) -> str:
    """Return the name without what a rotation appends: load.csv of load.csv.1."""
    while (rotated := ROTATED.search(name)) and Path(name).suffix.lower() not in FORMS:
        name = name[: rotated.start()]
    return name


def move(path: Path, folder: Path) -> Path:
    """Move a file into a folder, under another name if one of its name is there."""
    folder.mkdir(exist_ok=True)
    target, number = folder / path.name, 1
    while target.exists():
        number += 1
        target = folder / f"{path.stem}-{number}{path.suffix}"
    path.rename(target)
    return target


def reject(path: Path, folder: Path, why: str) -> Path:
    """Move a file into a folder, with the reason, and how to try again, in NAME.reason.txt."""
    moved = move(path, folder)
    moved.with_name(moved.name + ".reason.txt").write_text(
        f"{why}\n"
        f"Supported: {', '.join(FORMS)}.\n"
        f"To try again, correct the file or the source's mapping and move the file back to "
        f"'{path.parent}': it is read from its beginning. Samples that were stored before are "
        "counted as repeated.\n"
    )
    return moved
