"""Trusted files: read only if nobody but root and this user can have written them.

What is loaded as code, or names hosts and secrets, comes from such files only. Links are followed
where root or this user made them, in directories that nobody else writes to.
"""

import errno
import grp
import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path

from storage.errors import HoursightError

__all__ = [
    "NotTrusted", "check_trusted", "open_directory", "open_trusted", "read_trusted", "user_name",
    "writable_by_others",
]  # fmt: skip

MAX_LINKS = 40
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ACL = "system.posix_acl_access"


class NotTrusted(HoursightError):
    """Others can have written a file, or made a link on the way to it; says who, and the remedy."""


def read_trusted(path: Path) -> bytes:
    """Return the content of a file. Raises NotTrusted, and OSError when it cannot be read."""
    file = open_trusted(path)
    with os.fdopen(file, "rb") as opened:
        return opened.read()


def check_trusted(path: Path) -> None:
    """Raise NotTrusted unless `read_trusted` would read a file, and OSError when it is gone."""
    os.close(open_trusted(path))


def open_trusted(path: Path) -> int:
    """Return a descriptor of a regular file that only root or this user can have written.

    So can its directory: others must not put a file of another place there. Raises NotTrusted, and
    OSError when it cannot be read.
    """
    place = path.absolute()
    for _ in range(MAX_LINKS):
        folder = open_directory(place.parent)
        try:
            _check(folder, place.parent)
            status = os.stat(place.name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISLNK(status.st_mode):
                return _open_file(place, status, folder)
            _check_owner(status, place)
            place = place.parent / os.readlink(place.name, dir_fd=folder)
        finally:
            os.close(folder)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _open_file(path: Path, status: os.stat_result, folder: int) -> int:
    if not stat.S_ISREG(status.st_mode):  # opening a device or a pipe does something to it
        raise _irregular(path)
    file = os.open(path.name, _FILE, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise _irregular(path)
        _check(file, path)
    except BaseException:  # an interrupt too must not leave the file open
        os.close(file)
        raise
    return file


def _irregular(path: Path) -> NotTrusted:
    return NotTrusted(f"{path} is not a regular file", "put the file itself there")


def open_directory(path: Path, *, create: bool = False) -> int:
    """Return a descriptor of a directory, which is created with its parents if `create`.

    Raises NotTrusted for a link on the way that others can have made or moved, and OSError.
    """
    place = path.absolute()
    todo, links = list(reversed(place.parts[1:])), 0
    at = os.open(place.parts[0], _PLACE)
    try:
        while todo:
            name = todo.pop()
            target = _link_target(name, at, path)
            if target is None:
                at, left = _step(name, at, create and name != ".."), at
                os.close(left)
                continue
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if target.is_absolute():
                at, left = os.open(target.parts[0], _PLACE), at
                os.close(left)
            todo += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(at)


def _step(name: str, at: int, create: bool) -> int:
    try:
        return os.open(name, _PLACE, dir_fd=at)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=at)
    return os.open(name, _PLACE, dir_fd=at)


def _link_target(name: str, at: int, path: Path) -> Path | None:
    """Return where a link in a directory leads; None for what is not a link, or not there."""
    try:
        status = os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(status.st_mode):
        return None
    around = os.fstat(at)
    movable = writable_by_others(around) and not around.st_mode & stat.S_ISVTX
    owners = {status.st_uid, around.st_uid}
    if movable or not owners <= {0, os.geteuid()}:
        raise NotTrusted(
            f"'{name}' in {path} is a symbolic link that other users can change (it belongs to "
            f"{user_name(status.st_uid)}), so it is not followed",
            "name the folder that it leads to",
        )
    return Path(os.readlink(name, dir_fd=at))


def _check(file: int, path: Path) -> None:
    status = os.fstat(file)
    _check_owner(status, path)
    if writable_by_others(status) or (status.st_mode & stat.S_IWGRP and _has_acl(file)):
        raise NotTrusted(
            f"other users can write to {path}, so it is not loaded",
            f"run 'chmod go-w {path}', and check what it says",
        )


def _check_owner(status: os.stat_result, path: Path) -> None:
    if status.st_uid not in (0, os.geteuid()):
        us = user_name(os.geteuid())
        raise NotTrusted(
            f"{path} belongs to {user_name(status.st_uid)} and Hoursight runs as {us}, so it is "
            "not loaded",
            f"check what it says, then run 'chown {us} {path}'",
        )


def writable_by_others(status: os.stat_result) -> bool:
    """Return True if users other than its owner, root and this user can write to a file.

    The group does not count where it is the private group of the owner or of this user.
    """
    if status.st_mode & stat.S_IWOTH:
        return True
    if not status.st_mode & stat.S_IWGRP:
        return False
    return not any(_is_private(status.st_gid, uid) for uid in (status.st_uid, os.geteuid()))


def _is_private(gid: int, uid: int) -> bool:
    """Return True if a group has a user's name and no other member, as many systems make one."""
    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(uid)
    except KeyError:
        return False
    same = (group.gr_name, gid) == (user.pw_name, user.pw_gid)
    return same and set(group.gr_mem) <= {user.pw_name}


def _has_acl(file: int) -> bool:
    """Return True if more users than those of the mode are named in an access control list."""
    try:
        return bool(os.getxattr(file, _ACL))
    except OSError:
        return False


def user_name(uid: int) -> str:
    """Return the name of a user; the number of one without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
