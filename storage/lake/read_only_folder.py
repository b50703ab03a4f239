"""Reading a lake in a folder that this user cannot write: another user's, or a read-only mount.

SQLite opens a catalog in WAL mode there only while another process has it open, and whoever cannot
create a lock file takes one that exists. Else a private copy of the catalog is read, which has the
commits up to then.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from storage.errors import LakeUnreadable
from storage.platform.private_files import open_lock

__all__ = ["catalog_copy", "file_stamps", "is_writable", "shared_lock"]

NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
ATTEMPTS = 3


def is_writable(folder: Path) -> bool:
    """Return True if files can be created in `folder`; False on a read-only mount, for root too."""
    return os.access(folder, os.W_OK | os.X_OK)


@contextmanager
def shared_lock(path: Path) -> Iterator[None]:
    """Hold a shared lock on a file; without one if this user can neither create nor read it."""
    with ExitStack() as stack:
        file = _lock_file(path)
        if file is not None:
            fcntl.flock(stack.enter_context(file), fcntl.LOCK_SH)
        yield


def _lock_file(path: Path) -> TextIO | None:
    try:
        return open_lock(path)
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
    with suppress(FileNotFoundError, PermissionError):
        return path.open()
    return None


@contextmanager
def catalog_copy(catalog: Path) -> Iterator[Path]:
    """A private copy of a SQLite catalog with its WAL, removed at the end of the context.

    Raises LakeUnreadable when it cannot be read, or changes all the time.
    """
    with tempfile.TemporaryDirectory(prefix="hoursight-catalog-") as folder:
        target = Path(folder, catalog.name)
        try:
            _copy_unchanged(catalog, target)
        except OSError as error:
            raise LakeUnreadable(
                f"{catalog} cannot be copied ({error.strerror})",
                "ask its owner for read permission on the folder and its files",
            ) from error
        yield target


def _copy_unchanged(catalog: Path, target: Path) -> None:
    for _ in range(ATTEMPTS):
        before = file_stamps(catalog)
        for source, copy in zip(_files(catalog), _files(target), strict=True):
            copy.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                shutil.copyfile(source, copy)
        if file_stamps(catalog) == before:
            return
    raise LakeUnreadable(f"{catalog} changed while it was copied", "try again")


def _files(catalog: Path) -> tuple[Path, Path]:
    return catalog, catalog.with_name(f"{catalog.name}-wal")


def file_stamps(catalog: Path) -> tuple[tuple[int, int] | None, ...]:
    """Modification time [ns] and size of a catalog and of its WAL; None for a missing one."""
    return tuple(_stamp(path) for path in _files(catalog))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size
