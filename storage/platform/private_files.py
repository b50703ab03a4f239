"""Files of one user: the umask of our processes, folders and lock files that others cannot open."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

__all__ = [
    "GROUP_MODE", "PRIVATE_MODE", "apply_mode", "create_private_folder", "mode_of",
    "open_lock", "open_private", "paths_beyond", "restrict_new_files",
]  # fmt: skip

# What a folder grants; a file grants the same without the right to enter.
PRIVATE_MODE, GROUP_MODE = 0o700, 0o750
ALL, OF_OTHERS, ENTER = 0o777, 0o077, 0o011

Modes = dict[Path, int]


def restrict_new_files(mode: int = PRIVATE_MODE) -> None:
    """Grant no more than `mode` on what this process and its children create from now on."""
    os.umask(ALL & ~mode)


def open_private(path: str, flags: int) -> int:
    """Opener for `open`: what it creates is this user's alone; a link is not followed."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def open_lock(path: Path) -> TextIO:
    """Open a lock file, which no other user can open: a lock of theirs would stop the site."""
    return os.fdopen(open_private(str(path), os.O_RDWR | os.O_CREAT), "r+")


def create_private_folder(folder: Path) -> None:
    """Create a folder that only this user can enter; close an empty one of this user."""
    try:
        folder.mkdir(mode=PRIVATE_MODE, parents=True)
    except FileExistsError:
        if folder.stat().st_uid == os.geteuid() and not any(folder.iterdir()):
            folder.chmod(PRIVATE_MODE)


def mode_of(path: Path) -> int:
    """What a path grants to whom, such as 0o755."""
    return stat.S_IMODE(path.lstat().st_mode)


def paths_beyond(path: Path, mode: int, modes: Modes | None = None) -> Iterator[Path]:
    """Yield `path` and what is below it where they grant others more than `mode` does.

    `modes` has other modes of entries of the folder `path`. What lies in a folder that others
    cannot enter is out of reach, and links grant nothing.
    """
    with suppress(OSError):  # removed meanwhile
        about = path.lstat().st_mode
        if stat.S_ISLNK(about):
            return
        if about & OF_OTHERS & ~mode:
            yield path
        if stat.S_ISDIR(about) and about & ENTER:
            for child in sorted(path.iterdir()):
                yield from paths_beyond(child, (modes or {}).get(child, mode))


def apply_mode(path: Path, mode: int, modes: Modes | None = None) -> Iterator[Path]:
    """Grant others what `mode` does on `path` and all below it; yield the paths that stay open.

    `modes` is as for `paths_beyond`. A folder is closed before it is listed, so that nobody
    exchanges what is in it meanwhile. Links are not followed; what the owner may do stays.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # a link, a socket, or a file of another user
        yield from (each for each in paths_beyond(path, mode) if each == path)
        return
    try:
        is_folder = _set_mode(handle, mode)
    except PermissionError:
        yield path
        return
    finally:
        os.close(handle)
    if is_folder:
        for child in sorted(path.iterdir()):
            yield from apply_mode(child, (modes or {}).get(child, mode))


def _set_mode(handle: int, mode: int) -> bool:
    """Set what others may do with an open file or folder; return True if it is a folder."""
    about = os.fstat(handle).st_mode
    is_folder = stat.S_ISDIR(about)
    granted = mode & OF_OTHERS & (ALL if is_folder else ~ENTER)
    os.fchmod(handle, stat.S_IMODE(about) & ~OF_OTHERS | granted)
    return is_folder
