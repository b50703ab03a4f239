"""Supervised threads: every long-lived thread logs what ends it and starts again with back-off."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from storage.errors import HoursightError

__all__ = ["BACK_OFF_S", "SupervisedThread", "run_supervised"]

log = logging.getLogger(__name__)

BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# Work that ran for this long was healthy: its next failure starts with the shortest pause again.
HEALTHY_AFTER_S = 60.0

Work = Callable[[], object]


class SupervisedThread:
    """A daemon thread that runs `work` until `stop` is set.

    `work` returns soon after `stop` is set. When it raises, or returns before that, this is logged
    and it is called again, after 0.5 s at first and 30 s at most. With `once`, a return is the
    regular end: of work that reads a stream to its end, for example.
    """

    def __init__(self, name: str, work: Work, stop: threading.Event, *, once: bool = False) -> None:
        run = partial(run_supervised, name, work, stop, once=once)
        self._thread = threading.Thread(target=run, daemon=True, name=name)

    def start(self) -> "SupervisedThread":
        """Start the thread; returns self."""
        self._thread.start()
        return self

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, for at most `timeout` seconds; at once if it never started."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether it runs, or waits for its next start."""
        return self._thread.is_alive()


def run_supervised(name: str, work: Work, stop: threading.Event, *, once: bool = False) -> None:
    """What `SupervisedThread` does, in the thread that calls."""
    log.debug("%s started", name)
    failures = 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            work()
            if once or stop.is_set():
                break
            log.error("%s ended although nothing stopped it", name)
        except Exception as error:  # it runs whatever it is given: users' files, sources, drivers
            _log_failure(name, error)
        if stop.is_set():
            break
        failures = 1 if time.monotonic() - began >= HEALTHY_AFTER_S else failures + 1
        pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1]
        log.info("%s starts again in %g s", name, pause_s)
        stop.wait(pause_s)
    log.debug("%s ended", name)


def _log_failure(name: str, error: Exception) -> None:
    """A cause that passes by itself needs a sentence; anything else is a fault to be located."""
    if isinstance(error, HoursightError) and error.retryable:
        log.warning("%s failed: %s", name, error)
    else:
        log.exception("%s failed", name)
