"""What the long-running processes have in common: how they log, stop, and are the only one."""

import fcntl
import logging
import signal
import threading
from pathlib import Path
from typing import TextIO

__all__ = ["configure_logging", "exclusive_lock", "stop_on_signals"]


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


def exclusive_lock(path: Path) -> TextIO | None:
    """The lock file at `path`, ours alone until it is closed; None when another process has it."""
    lock = path.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        if isinstance(error, BlockingIOError):
            return None
        raise
    return lock
