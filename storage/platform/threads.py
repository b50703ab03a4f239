"""Supervised threads: a long-lived thread that fails is logged and restarted with back-off."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from storage.errors import HoursightError

__all__ = ["BACK_OFF_S", "SupervisedThread", "run_supervised"]

log = logging.getLogger(__name__)

BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# Work that ran for this long counts as healthy: its next failure gets the shortest pause.
HEALTHY_AFTER_S = 60.0

Work = Callable[[], object]


class SupervisedThread:
    """A daemon thread that runs `work` until `stop` is set.

    `work` must return soon after `stop` is set. If it raises or returns earlier, this is logged and
    it is called again, after 0.5 s at first and 30 s at most. With `once`, a return is the regular
    end, for example of work that reads a stream to its end.
    """

    def __init__(self, name: str, work: Work, stop: threading.Event, *, once: bool = False) -> None:
        run = partial(run_supervised, name, work, stop, once=once)
        self._thread = threading.Thread(target=run, daemon=True, name=name)

    def start(self) -> "SupervisedThread":
        """Start the thread; return self."""
        self._thread.start()
        return self

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, for at most `timeout` seconds; return at once if it never started."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        """True while the thread runs or waits for its next start."""
        return self._thread.is_alive()


def run_supervised(name: str, work: Work, stop: threading.Event, *, once: bool = False) -> None:
    """Run `work` as `SupervisedThread` does, in the calling thread."""
    log.debug("%s started", name)
    failures = 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            work()
            if once or stop.is_set():
                break
            log.error("%s ended without being stopped", name)
        except Exception as error:  # the work includes foreign code: users' files, drivers
            _log_failure(name, error)
        if stop.is_set():
            break
        failures = 1 if time.monotonic() - began >= HEALTHY_AFTER_S else failures + 1
        pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1]
        log.info("%s starts again in %g s", name, pause_s)
        stop.wait(pause_s)
    log.debug("%s ended", name)


def _log_failure(name: str, error: Exception) -> None:
    """Log a retryable error as one sentence, any other with its traceback."""
    if isinstance(error, HoursightError) and error.retryable:
        log.warning("%s failed: %s", name, error)
    else:
        log.exception("%s failed", name)
