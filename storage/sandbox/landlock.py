"""Landlock: the kernel lets this process read certain files, and nothing else of any file system.

The numbers are those of the kernel's interface, `linux/landlock.h`; all machines share them.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

__all__ = ["landlock_version", "restrict_reading"]

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG, PATH_BENEATH = 1, 1
PR_SET_NO_NEW_PRIVS = 38
READ_FILE, READ_DIR = 1 << 2, 1 << 3
# The number of rights of files that a version knows; of TCP two, from version 4 on; of signals and
# abstract sockets two, from version 6 on.
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
NEWEST_FILE_RIGHTS = 16
TCP_SINCE, SCOPES_SINCE = 4, 6
O_PATH: int = os.O_PATH


def landlock_version() -> int:
    """Return the version of Landlock in this kernel; 0 without it."""
    version: int = _libc().syscall(CREATE_RULESET, None, 0, VERSION_FLAG)
    return max(0, version)


def restrict_reading(paths: Iterable[Path]) -> None:
    """Let this thread and all that it starts read below `paths` only, and write nothing, for good.

    TCP is closed too, and signals to other processes are, where the kernel can. A path that does
    not exist is left out. Raises OSError.
    """
    version = landlock_version()
    rights = (1 << FILE_RIGHTS.get(version, NEWEST_FILE_RIGHTS)) - 1
    fields = [rights]
    fields += [3] if version >= TCP_SINCE else []
    fields += [3] if version >= SCOPES_SINCE else []
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _call(CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in paths:
            _permit(ruleset, path)
        if _libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise _error()
        _call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _permit(ruleset: int, path: Path) -> None:
    try:
        place = os.open(path, O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = READ_FILE | READ_DIR if path.is_dir() else READ_FILE
        _call(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: int | bytes) -> int:
    values = [a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments]
    result: int = _libc().syscall(number, *values)
    if result < 0:
        raise _error()
    return result


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"Landlock refused: {os.strerror(number)}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
