"""SIGINT and SIGTERM of a command that waits for a query: they end it whatever it is doing.

A KeyboardInterrupt is raised wherever the main thread happens to be, and is lost in a destructor,
in a callback of the import system or in a clean-up. So none is raised here: the interpreter writes
the signal's number into a pipe as it arrives, and a thread reads it.
"""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

__all__ = ["Interrupts"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LEAVING = b"\0"
# An interrupt that comes before the engine has begun is lost: it is sent until the query has ended.
AGAIN_S = 0.02
# A query that has not ended by then waits for something that cannot be interrupted, such as a disk.
GRACE_S = 3.0
SHOW_CURSOR = b"\x1b[?25h"


class Interrupts:
    """Within its context, the first signal cancels the query and the second ends the process.

    The process ends at the first one when there is no query to cancel, and when the query takes
    longer than GRACE_S to end. The exit status is 128 + the signal's number: 130 for Ctrl-C.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._lock = threading.Lock()
        self._cancel: Callable[[], None] | None = None

    def __enter__(self) -> "Interrupts":
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._wakeup = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._watch, daemon=True, name="interrupts")
        self._thread.start()
        # What is ignored stays so: SIGINT is in a shell's background job.
        self._handlers = {
            signum: signal.signal(signum, _only_wake)
            for signum in SIGNALS
            if signal.getsignal(signum) != signal.SIG_IGN
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.write(self._writing, LEAVING)
        self._thread.join()
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._reading)
        os.close(self._writing)

    @contextmanager
    def cancelling(self, cancel: Callable[[], None]) -> Iterator[None]:
        """Call `cancel` on a signal, again and again, until the block is left; then exit."""
        self._cancel = cancel
        try:
            yield
        finally:
            with self._lock:
                self._cancel = None
            if self._received is not None:
                sys.exit(128 + self._received)

    def _watch(self) -> None:
        give_up = float("inf")
        while True:
            for number in self._arrived():
                if number == ord(LEAVING):
                    return
                if self._received is not None or self._cancel is None:
                    _end(number)
                self._received, give_up = number, time.monotonic() + GRACE_S
            if self._received is not None and time.monotonic() > give_up:
                _end(self._received)
            if self._received is not None:
                self._call_cancel()

    def _call_cancel(self) -> None:
        with self._lock:  # not while the query is being closed
            if self._cancel is not None:
                self._cancel()

    def _arrived(self) -> list[int]:
        """The numbers of the signals that came; waits for one, or a little once there was one."""
        patience = None if self._received is None else AGAIN_S
        ready, _, _ = select.select([self._reading], [], [], patience)
        numbers = os.read(self._reading, 1024) if ready else b""
        return [number for number in numbers if number in (*SIGNALS, ord(LEAVING))]


def _only_wake(signum: int, frame: FrameType | None) -> None:
    """With a handler of ours the interpreter raises nothing."""


def _end(signum: int) -> None:
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), SHOW_CURSOR)  # a progress bar hides it
    os._exit(128 + signum)
