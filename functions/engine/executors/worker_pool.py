"""Worker pool: calls of one source side by side, in its own worker first, then in spare ones."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from functions.engine.executors.subprocess_executor import SubprocessExecutor

__all__ = ["MAX_WORKERS", "WorkerPool"]

# Workers of one source at most, and how many of them stay for the next rush.
MAX_WORKERS = 4
MAX_SPARE = 1


class WorkerPool:
    """The executors that calls of one source go to; each carries out one call at a time."""

    def __init__(self, first: SubprocessExecutor) -> None:
        self._first = first
        self._slots = threading.BoundedSemaphore(MAX_WORKERS)
        self._lock = threading.Lock()
        self._first_taken = False
        self._closed = False
        self._spare: list[SubprocessExecutor] = []

    @contextmanager
    def one(self) -> Iterator[SubprocessExecutor]:
        """An executor for one call; waits while MAX_WORKERS calls are running."""
        with self._slots:
            executor = self._take()
            try:
                yield executor
            finally:
                self._give_back(executor)

    def close(self) -> None:
        """Close the spare executors; one that is carrying out a call is closed after it."""
        with self._lock:
            self._closed, spare, self._spare = True, self._spare, []
        for executor in spare:
            executor.close()

    def _take(self) -> SubprocessExecutor:
        with self._lock:
            if not (self._first_taken or self._first.busy):
                self._first_taken = True
                return self._first
            return self._spare.pop() if self._spare else self._first.another()

    def _give_back(self, executor: SubprocessExecutor) -> None:
        with self._lock:
            if executor is self._first:
                self._first_taken = False
                return
            if not self._closed and len(self._spare) < MAX_SPARE:
                self._spare.append(executor)
                return
        executor.close()
