"""What the long-running processes share: how they stop, exclusive locks, dying with a parent."""

import fcntl
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TextIO

__all__ = ["exclusive_lock", "restart", "stop_on_signals", "with_parent_death_signal"]

PARENT_DEATH = Path(__file__).with_name("parent_death.py")


def with_parent_death_signal(command: Sequence[str], signal_number: int) -> list[str]:
    """Return the command that runs `command` so that it gets a signal when this process ends.

    It must be started by a thread that lives as long as this process.
    """
    launcher = [sys.executable, "-I", "-S", str(PARENT_DEATH)]
    return [*launcher, str(os.getpid()), str(int(signal_number)), *command]


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
    except OSError as error:
        lock.close()
        if isinstance(error, BlockingIOError):
            return None
        raise
    return lock
