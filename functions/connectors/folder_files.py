"""Files of a watched folder: whether somebody still writes to one, and where it goes afterwards."""

import errno
import fcntl
import os
import re
import signal
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from functions.connectors.real_folder import RealFolder, stamp
from functions.normalize.file_readers import FORMS
from storage.platform.trusted_files import NotTrusted

__all__ = [
    "FolderFile", "Looks", "Refusal", "base_name", "ending_of", "open_for_writing", "reject",
]  # fmt: skip

# How long a file must be quiet where it cannot be known whether somebody has it open.
UNKNOWN_QUIET = timedelta(minutes=10)
# A refused entry is counted and named again after so long, while it is there.
REFUSED_EVERY = timedelta(hours=12)
NETWORK = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "afs", "lustre", "gluster", "virtiofs")
UNFINISHED = (".partial", ".tmp", ".part")
# What a rotation appends to the name of a file: .1, -20260506, .2026-05-06, .old
ROTATED = re.compile(r"[.\-_~](?:\d[\d\-_.T]*|old|bak)$")


@dataclass(frozen=True, slots=True)
class FolderFile:
    """A file as one look saw it; it was first seen `known` ago, and the same for `quiet`."""

    folder: RealFolder
    name: str
    status: os.stat_result
    quiet: timedelta
    known: timedelta

    @property
    def stamp(self) -> str:
        """Return its stamp at the look."""
        return stamp(self.status)

    @property
    def is_unchanged(self) -> bool:
        """Return True if it has the same stamp now."""
        return self.folder.stamp(self.name) == self.stamp

    def is_complete(self, period: timedelta) -> bool:
        """Return True if nobody has it open for writing, and it was quiet for `period`.

        Where the first cannot be known it must have been quiet for UNKNOWN_QUIET as well.
        """
        if self.quiet < period:
            return False
        is_open = open_for_writing(self.folder, self.name)
        return self.quiet >= UNKNOWN_QUIET if is_open is None else not is_open


@dataclass(frozen=True, slots=True)
class _Seen:
    stamp: str
    first: datetime
    same: datetime  # first seen with this stamp


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entry that is never read, and why, as a sentence; `is_new` at first and twice a day."""

    why: str
    is_new: bool


class Looks:
    """What the files of a folder looked like, and since when: quiet is what does not change."""

    def __init__(self, folder: RealFolder) -> None:
        self._folder = folder
        self._seen: dict[int, _Seen] = {}
        self._refused: dict[str, datetime] = {}
        self.refusals: list[Refusal] = []

    def files(self, now: datetime) -> list[FolderFile]:
        """Return the files, the one written first before the others. Raises OSError, NotTrusted.

        A file is quiet since its modification time or, where that lies ahead of `now`, since the
        first look that saw it as it is. `refusals` are the entries that are not read.
        """
        before, self._seen = self._seen, {}
        refused_before, self._refused = self._refused, {}
        self.refusals, files = [], []
        for name, status in sorted(self._folder.entries()):
            if _is_unfinished(name) or stat.S_ISDIR(status.st_mode):
                continue
            why = self._folder.refusal(status)
            if why:
                self._refuse(f"{name} {why}", refused_before, now)
            else:
                files.append(self._look(name, status, before.get(status.st_ino), now))
        return sorted(files, key=lambda file: (file.status.st_mtime, file.name))

    def _refuse(self, why: str, before: Mapping[str, datetime], now: datetime) -> None:
        last = before.get(why)
        is_new = last is None or now - last >= REFUSED_EVERY
        self._refused[why] = last if last and not is_new else now
        self.refusals.append(Refusal(why, is_new))

    def _look(
        self, name: str, status: os.stat_result, before: _Seen | None, now: datetime
    ) -> FolderFile:
        its = stamp(status)
        same = min(before.same, now) if before and before.stamp == its else now
        first = min(before.first, now) if before else now
        seen = self._seen[status.st_ino] = _Seen(its, first, same)
        since_written = timedelta(seconds=now.timestamp() - status.st_mtime)
        quiet = max(now - same, since_written)
        return FolderFile(self._folder, name, status, quiet, now - seen.first)


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") or Path(name).suffix in UNFINISHED


def open_for_writing(folder: RealFolder, name: str, part: str = "") -> bool | None:
    """Return True if a process has the file open for writing; None where that cannot be known.

    The kernel refuses a read lease on a file that somebody can write to. Whether one has it open
    cannot be known on a network file system, on systems other than Linux, and without CAP_LEASE
    for the files of other users.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    try:
        opened = folder.open(name, part)
    except (OSError, NotTrusted):
        return None
    with opened as file:  # its end is that of the lease
        try:
            # A writer that comes while we have the lease sends a signal: one that is ignored.
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            refused = error.errno == errno.EAGAIN
            return True if refused and not _on_network(folder.path) else None
    return False


def _on_network(path: Path) -> bool:
    """Return True for a file system whose leases say nothing about writers, such as NFS."""
    mounts = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    place = Path(os.path.realpath(path))
    kind = next((mounts[each] for each in (place, *place.parents) if each in mounts), "")
    return kind.startswith(NETWORK)


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


def reject(folder: RealFolder, name: str, why: str) -> str:
    """Move a file to REJECTED, with the reason and how to try again; return its name there."""
    return folder.reject(
        name,
        f"{why}\n"
        f"Supported: {', '.join(FORMS)}.\n"
        f"To try again, correct the file or the source's mapping and move the file back to "
        f"'{folder.path}': it is read from its beginning. Samples that were stored before are "
        "counted as repeated.\n",
    )
