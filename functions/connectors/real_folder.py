"""Watched folder by descriptors: its own directories and regular files, no link ever followed.

Whoever may write to the folder must not make Hoursight read or write a file of another place: by a
link, a pipe, a device, a second name of a file of ours, or by an exchange between check and use.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from storage.platform.trusted_files import (
    NotTrusted,
    open_directory,
    user_name,
    writable_by_others,
)

__all__ = ["DONE", "REASON", "REJECTED", "RealFolder", "stamp"]

DONE, REJECTED = "done", "rejected"
REASON = ".reason.txt"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFLNK: "a symbolic link, which is not followed",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class RealFolder:
    """The folder at `path`; `part` is "" for its own files, else DONE or REJECTED.

    Directories are opened when they are needed, and stay the same ones until `close`. All methods
    raise OSError, and NotTrusted for what could lead elsewhere.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptors: dict[str, int] = {}

    def create(self) -> None:
        """Create what is missing of the folder and its parts."""
        os.close(open_directory(self.path, create=True))
        for part in (DONE, REJECTED):
            self._make(part)

    def close(self) -> None:
        """Close the directories."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def entries(self, part: str = "") -> list[tuple[str, os.stat_result]]:
        """Return the names that are there, links too, each with its status."""
        there = []
        for name in os.listdir(self._at(part)):
            try:
                there.append((name, self.status(name, part)))
            except OSError:  # deleted meanwhile, or not readable
                continue
        return there

    def status(self, name: str, part: str = "") -> os.stat_result:
        """Return the status of an entry; of a link itself."""
        return os.stat(name, dir_fd=self._at(part), follow_symlinks=False)

    def stamp(self, name: str, part: str = "") -> str:
        """Return the stamp of an entry, as `stamp`; empty for one that is gone."""
        try:
            return stamp(self.status(name, part))
        except OSError:
            return ""

    def open(self, name: str, part: str = "") -> BinaryIO:
        """Open a file to read it. Raises NotTrusted, which says why a file is refused."""
        self._check(name, self.status(name, part))  # opening a device or a pipe does something
        file = os.fdopen(os.open(name, _FILE, dir_fd=self._at(part)), "rb")
        try:
            self._check(name, os.fstat(file.fileno()))
        except BaseException:  # an interrupt too must not leave the file open
            file.close()
            raise
        return file

    def refusal(self, status: os.stat_result) -> str:
        """Return why an entry is refused, as the end of a sentence; "" for one that is read."""
        kind = stat.S_IFMT(status.st_mode)
        if kind != stat.S_IFREG:
            return f"is {_KINDS.get(kind, 'not a file')}: put the file itself there"
        around = os.fstat(self._at(""))
        others_write = writable_by_others(around) or around.st_uid not in (0, os.geteuid())
        if status.st_nlink > 1 and (status.st_uid != around.st_uid or writable_by_others(around)):
            return "has a second name elsewhere (a hard link): put a copy there"
        if others_write and status.st_uid in (0, os.geteuid()) and not _is_open(status, around):
            return (
                f"belongs to {user_name(status.st_uid)} and may not be read by the users of the "
                "folder: let all users read it"
            )
        return ""

    def move(self, name: str, part: str, from_part: str = "") -> str:
        """Move an entry to another part, under another name if its name is taken; return that."""
        if part:
            self._make(part)
        target = next(each for each in _names(name) if self._is_free(each, part))
        self._rename(name, from_part, target, part)
        return target

    def reject(self, name: str, why: str) -> str:
        """Move an entry to REJECTED with the reason beside it; return its name there."""
        self._make(REJECTED)
        rejected = self.status(name)
        for target in _names(name):
            if not self._is_free(target, REJECTED):
                continue
            try:
                reason = os.open(target + REASON, _NEW, 0o600, dir_fd=self._at(REJECTED))
            except FileExistsError:
                continue
            try:
                with os.fdopen(reason, "w") as file:
                    file.write(why)
                    _give(file.fileno(), rejected)
                self._rename(name, "", target, REJECTED)
            except OSError:
                os.unlink(target + REASON, dir_fd=self._at(REJECTED))
                raise
            return target
        raise AssertionError("names do not end")

    @contextmanager
    def replacement(self, name: str, part: str) -> Iterator[BinaryIO]:
        """A file to write, which takes the place of a file with its owner and mode at the end."""
        former, at = self.status(name, part), self._at(part)
        draft = f".{name[:200]}.partial"
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=at)
        with os.fdopen(os.open(draft, _NEW, 0o600, dir_fd=at), "wb") as file:
            yield file
            file.flush()
            _give(file.fileno(), former)
            os.fsync(file.fileno())
        self._rename(draft, part, name, part)

    def remove(self, name: str, part: str) -> None:
        """Delete an entry."""
        os.unlink(name, dir_fd=self._at(part))

    def _rename(self, name: str, part: str, target: str, target_part: str) -> None:
        source, there = self._at(part), self._at(target_part)
        os.rename(name, target, src_dir_fd=source, dst_dir_fd=there)

    def _is_free(self, name: str, part: str) -> bool:
        try:
            self.status(name, part)
        except FileNotFoundError:
            return True
        return False

    def _check(self, name: str, status: os.stat_result) -> None:
        why = self.refusal(status)
        if why:
            raise NotTrusted(f"{name} {why}")

    def _make(self, part: str) -> None:
        try:
            os.mkdir(part, dir_fd=self._at(""))
        except FileExistsError:
            pass
        else:
            self._forget(part)
            self._share(self._at(part))
        self._at(part)

    def _share(self, made: int) -> None:
        """Give a directory that was just made to the users of the folder: they take files back."""
        if os.fstat(made).st_uid == os.geteuid() and not os.listdir(made):  # it is still that one
            around = os.fstat(self._at(""))
            if os.geteuid() == 0:
                os.fchown(made, around.st_uid, around.st_gid)
            os.fchmod(made, stat.S_IMODE(around.st_mode) | stat.S_IRWXU)

    def _forget(self, part: str) -> None:
        former = self._descriptors.pop(part, None)
        if former is not None:
            os.close(former)

    def _at(self, part: str) -> int:
        if part not in self._descriptors:
            self._descriptors[part] = self._opened(part) if part else open_directory(self.path)
        return self._descriptors[part]

    def _opened(self, part: str) -> int:
        around = self._at("")
        if stat.S_ISLNK(self.status(part).st_mode):
            raise NotTrusted(
                f"'{part}' in the folder '{self.path}' is a symbolic link, which is not followed",
                "remove it",
            )
        there = os.open(part, _DIRECTORY, dir_fd=around)
        owner = os.fstat(there).st_uid
        if owner in (0, os.geteuid(), os.fstat(around).st_uid):
            return there
        os.close(there)
        raise NotTrusted(
            f"'{part}' in the folder '{self.path}' belongs to {user_name(owner)}, who is neither "
            "the user of Hoursight nor the owner of the folder",
            "remove it",
        )


def _give(file: int, status: os.stat_result) -> None:
    """Give a file that we made the mode of another, and its owner where root may."""
    if os.geteuid() == 0:
        os.fchown(file, status.st_uid, status.st_gid)
    os.fchmod(file, stat.S_IMODE(status.st_mode) & 0o666 | 0o600)


def stamp(status: os.stat_result) -> str:
    """Return inode, size, and times of modification and change of a file.

    A file that is moved away and back has another time of change.
    """
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def _is_open(status: os.stat_result, around: os.stat_result) -> bool:
    """Return True if all users may read a file, or the group that has the folder."""
    group = status.st_gid == around.st_gid and status.st_mode & stat.S_IRGRP
    return bool(group or status.st_mode & stat.S_IROTH)


def _names(name: str) -> Iterator[str]:
    """Yield the name, and then those that are taken instead: load-2.csv of load.csv."""
    yield name
    path = Path(name)
    for number in count(2):
        yield f"{path.stem}-{number}{path.suffix}"
