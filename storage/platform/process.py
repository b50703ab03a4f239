"""What the long-running processes share: options, logging, how they stop, locks, parents."""

import argparse
import fcntl
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TextIO

from storage.config.folders import default_data
from storage.config.settings import SettingsError
from storage.platform.error_text import bounded

__all__ = [
    "add_data_option",
    "configure_logging",
    "configured",
    "exclusive_lock",
    "exit_unconfigured",
    "stop_on_signals",
    "tied",
]  # fmt: skip

MAX_LOGGED_CHARS = 4_000
PARENT_DEATH = Path(__file__).with_name("parent_death.py")


class BoundedFormatter(logging.Formatter):
    """Cuts long messages and tracebacks: they may quote what a foreign program has sent."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Format the line, with the message cut to `MAX_LOGGED_CHARS`."""
        record.message = bounded(record.message, MAX_LOGGED_CHARS)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's own name
        """Format the traceback, cut to four times as much."""
        return bounded(super().formatException(ei), 4 * MAX_LOGGED_CHARS)  # type: ignore[arg-type]


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Give a process `--data`."""
    parser.add_argument(
        "--data", type=Path, default=default_data(),
        help="data folder (default: $HOURSIGHT_DATA, else ./var)",
    )  # fmt: skip


@contextmanager
def configured() -> Iterator[None]:
    """End the process with one sentence and EX_CONFIG when a setting cannot be used."""
    try:
        yield
    except SettingsError as error:
        exit_unconfigured(error)


def exit_unconfigured(error: Exception) -> NoReturn:
    """End the process with one sentence; the supervisor waits for other settings before it retries.

    Its exit code is EX_CONFIG (78).
    """
    sys.stderr.write(f"ERROR {error}\n")
    sys.exit(os.EX_CONFIG)


def tied(command: Sequence[str], signal_number: int) -> list[str]:
    """Return the command that runs `command` so that it gets a signal when this process ends.

    It must be started by a thread that lives as long as this process.
    """
    launcher = [sys.executable, "-I", "-S", str(PARENT_DEATH)]
    return [*launcher, str(os.getpid()), str(int(signal_number)), *command]


def configure_logging() -> None:
    """One line an event, level first: who and when is added by whoever runs the process."""
    handler = logging.StreamHandler()
    handler.setFormatter(BoundedFormatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
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
    except BlockingIOError:
        lock.close()
        return None
    return lock
