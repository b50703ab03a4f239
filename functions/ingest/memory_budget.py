"""Memory budget: bytes that the requests in progress may take together, whatever their door."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from functions.ingest.decompression import MAX_BODY_BYTES, decompress, largest_size
from functions.ingest.rejection import PushRejected
from storage.ipc.push_protocol import Push

__all__ = ["IngestMemory", "MemoryBudget", "Share"]

# Telegraf and the OpenTelemetry collector give a request up after 5 s.
MAX_WAIT_S = 3.0
MAX_UNPACKED_BYTES = 3 * MAX_BODY_BYTES
MAX_BUILT_BYTES = 256 << 20


class Share:
    """What one request has of a budget, in bytes."""

    def __init__(self, budget: "MemoryBudget", size: int) -> None:
        self._budget = budget
        self.size = size

    def shrink(self, size: int) -> None:
        """Give back all but `size` bytes."""
        surplus, self.size = self.size - size, size
        self._budget.give_back(surplus)


class MemoryBudget:
    """Bytes that are shared out to requests in the order in which they came.

    Safe to share between threads. A thread that has a share must not wait for another one of the
    same budget.
    """

    def __init__(self, total: int, wait_s: float = MAX_WAIT_S) -> None:
        self.total, self.free = total, total
        self._wait_s = wait_s
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a share."""
        return len(self._waiting)

    @contextmanager
    def share(self, size: int, wait_s: float | None = None) -> Iterator[Share]:
        """Have `size` bytes within the context, after a wait for them.

        It is at most `wait_s`, or else as long as the budget says.

        Raises PushRejected: 413 for more than there are in all, 503 when they do not become free.
        """
        self.check(size)
        self._wait_for(size, self._wait_s if wait_s is None else wait_s)
        share = Share(self, size)
        try:
            yield share
        finally:
            share.shrink(0)

    def check(self, size: int) -> None:
        """Raise PushRejected (413) for more bytes than there are in all."""
        if size > self.total:
            raise PushRejected(
                413,
                f"the body needs {_mib(size)} of memory or more, and there are {_mib(self.total)} "
                "for all requests together",
                "send it in parts",
            )

    def give_back(self, size: int) -> None:
        """Make bytes free again."""
        with self._changed:
            self.free += size
            self._changed.notify_all()

    def _wait_for(self, size: int, wait_s: float) -> None:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                if not self._changed.wait_for(
                    lambda: self._waiting[0] is ticket and self.free >= size, wait_s
                ):
                    raise PushRejected(
                        503, "too many large pushes at once", "send it again in some seconds"
                    )
                self.free -= size
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()


class IngestMemory:
    """The memory for pushes of all kinds: for their unpacked bodies, and for what is built of them.

    A request waits for the first, then for the second, and never the other way round.
    """

    def __init__(self, wait_s: float = MAX_WAIT_S) -> None:
        self._wait_s = wait_s
        self._unpacked = MemoryBudget(MAX_UNPACKED_BYTES, wait_s)
        self._built = MemoryBudget(MAX_BUILT_BYTES, wait_s)

    @contextmanager
    def reading(self, push: Push, built_bytes: Callable[[bytes], int]) -> Iterator[bytes]:
        """Yield the unpacked body, once there is memory for it and for what is built of it.

        `built_bytes` says how much that is, also of a part of a body: one that has too much is not
        unpacked to its end. Raises PushRejected.
        """
        counted = 0

        def count(part: bytes) -> None:
            nonlocal counted
            counted += built_bytes(part)
            self._built.check(counted)

        give_up = time.monotonic() + self._wait_s
        with self._unpacked.share(largest_size(push.body, push.encoding)) as share:
            body = decompress(push.body, push.encoding, count)
            share.shrink(len(body))
            with self._built.share(built_bytes(body), max(0.0, give_up - time.monotonic())):
                yield body


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"
