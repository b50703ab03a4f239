"""Process control: signals, restart, locks, limit of descriptors, and ending with the parent."""

import fcntl
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from storage.platform.private_files import open_lock

__all__ = [
    "exclusive_lock", "raise_descriptor_limit", "restart", "stop_on_signals",
    "with_parent_death_signal",
]  # fmt: skip

# Some systems allow a thousand million, and programs that close each possible one take minutes.
MAX_DESCRIPTORS = 65_536
PARENT_DEATH = Path(__file__).with_name("parent_death.py")


def with_parent_death_signal(command: Sequence[str], signal_number: int) -> list[str]:
    """Wrap `command` so that it receives a signal when this process ends.

    Start it from a thread that lives as long as this process: the kernel watches that thread.
    """
    launcher = [sys.executable, "-I", "-S", str(PARENT_DEATH)]
    return [*launcher, str(os.getpid()), str(int(signal_number)), *command]


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set from now on."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def raise_descriptor_limit() -> int:
    """Raise the limit of open files to what this user may have; return the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= allowed:
        return allowed
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def restart() -> NoReturn:
    """Replace this process with a new one that has the same command line and process id.

    A supervisor notices nothing. Files and connections must be closed before.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell is needed


def exclusive_lock(path: Path) -> TextIO | None:
    """Lock the file at `path` until the result is closed; None if another process has the lock."""
    lock = open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        if isinstance(error, BlockingIOError):
            return None
        raise
    return lock
