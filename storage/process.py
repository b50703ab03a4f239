"""What the long-running processes have in common: how they log, how they are asked to stop."""

import logging
import signal
import threading

__all__ = ["log_plainly", "until_told_to_stop"]


def log_plainly() -> None:
    """One line an event, level first: who and when is added by whoever runs the process."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    # It would tell of each change of each file.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)


def until_told_to_stop() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
