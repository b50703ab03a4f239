"""Who holds a lock on a file, as the kernel lists it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LockHolder", "lock_holders"]

LOCKS = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A process that holds a lock, and the id of its user."""

    pid: int
    uid: int


def lock_holders(path: Path) -> Iterator[LockHolder]:
    """Yield the processes that hold an flock on a file; none where the kernel lists no locks."""
    with suppress(OSError):
        about = path.stat()
        device, inode = about.st_dev, about.st_ino
        name = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
        for line in LOCKS.read_text().splitlines():
            _, kind, _, _, pid, file, *_ = line.split()  # of one that waits, `->` is the kind
            if kind == "FLOCK" and file == name:
                with suppress(OSError):  # it has ended
                    yield LockHolder(int(pid), Path("/proc", pid).stat().st_uid)
