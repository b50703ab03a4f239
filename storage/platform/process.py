"""What the long-running processes have in common: how they log, stop, and are the only one."""

import fcntl
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn, TextIO

__all__ = ["configure_logging", "exclusive_lock", "restart", "stop_on_signals"]


def configure_logging() -> None:
    """One line an event, level first: who and when is added by whoever runs the process."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    # It would tell of each change of each file.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def restart() -> NoReturn:
    """Replace this process with a new one of the same command line and process id.

    Whoever supervises it sees no end; everything must be closed before.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell is meant


def exclusive_lock(path: Path) -> TextIO | None:
    """The lock file at `path`, ours alone until it is closed; None when another process has it."""
    lock = path.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
