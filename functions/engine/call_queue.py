"""Call queue: how many calls over HTTP run at a time, and how many wait for their turn."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from storage.errors import HoursightError

__all__ = ["CallQueue", "TooManyCalls"]

# A call may take a process of its own, with up to the function's `memory_mb`.
MAX_RUNNING = 4
MAX_WAITING = 16
MAX_WAIT_S = 10.0


class TooManyCalls(HoursightError):
    """A call got no turn; the message says why."""

    retryable = True


class CallQueue:
    """Turns of calls; safe to share between threads."""

    def __init__(
        self,
        max_running: int = MAX_RUNNING,
        max_waiting: int = MAX_WAITING,
        max_wait_s: float = MAX_WAIT_S,
    ) -> None:
        self.waiting = 0
        self._max_running, self._max_waiting = max_running, max_waiting
        self._max_wait_s = max_wait_s
        self._slots = threading.BoundedSemaphore(max_running)
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Run a call within the context, after a wait if needed. Raises TooManyCalls."""
        if not self._slots.acquire(blocking=False):
            self._wait()
        try:
            yield
        finally:
            self._slots.release()

    def _wait(self) -> None:
        """Take a slot, or raise TooManyCalls."""
        with self._lock:
            if self.waiting >= self._max_waiting:
                raise self._refusal(f"{self.waiting} wait")
            self.waiting += 1
        try:
            if not self._slots.acquire(timeout=self._max_wait_s):
                raise self._refusal(f"none ended within {self._max_wait_s:g} s")
        finally:
            with self._lock:
                self.waiting -= 1

    def _refusal(self, why: str) -> TooManyCalls:
        return TooManyCalls(
            f"{self._max_running} calls of functions are running, and {why}",
            "try again in some seconds",
        )
