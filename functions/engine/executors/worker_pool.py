"""Calls of one source side by side: its resident child first, spare ones while that is busy."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from functions.engine.executors.subprocess_executor import SubprocessExecutor

__all__ = ["MOST", "WorkerPool"]

# Children of one source at most, and how many of them stay for the next rush.
MOST = 4
SPARE = 1


class WorkerPool:
    """The isolates that calls of one source go to; each carries out one call at a time."""

    def __init__(self, source_worker: SubprocessExecutor) -> None:
        self._source_worker = source_worker
        self._room = threading.BoundedSemaphore(MOST)
        self._lock = threading.Lock()
        self._claimed = False
        self._closed = False
        self._free: list[SubprocessExecutor] = []

    @contextmanager
    def one(self) -> Iterator[SubprocessExecutor]:
        """An isolate for one call; waits while as many as may be are busy."""
        with self._room:
            executor = self._take()
            try:
                yield executor
            finally:
                self._give_back(executor)

    def close(self) -> None:
        """End the spare ones; who is in the middle of a call ends after it."""
        with self._lock:
            self._closed, free, self._free = True, self._free, []
        for executor in free:
            executor.close()

    def _take(self) -> SubprocessExecutor:
        with self._lock:
            if not (self._claimed or self._source_worker.busy):
                self._claimed = True
                return self._source_worker
            return self._free.pop() if self._free else self._source_worker.another()

    def _give_back(self, executor: SubprocessExecutor) -> None:
        with self._lock:
            if executor is self._source_worker:
                self._claimed = False
                return
            if not self._closed and len(self._free) < SPARE:
                self._free.append(executor)
                return
        executor.close()
