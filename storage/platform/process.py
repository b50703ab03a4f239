"""What the long-running processes have in common: how they stop, and are the only one."""

import fcntl
import signal
import threading
from pathlib import Path
from typing import TextIO

__all__ = ["exclusive_lock", "stop_on_signals"]


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
    except BlockingIOError:
        lock.close()
        return None
    return lock
