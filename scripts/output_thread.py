"""Output of a supervisor: printed by a thread, so that no terminal, pipe or disk stops the rest."""

import os
import queue
import select
import threading
from types import TracebackType
from typing import TextIO

from storage.platform.printable import printable

__all__ = ["OutputThread"]

MAX_WAITING_LINES = 2_000
DRAIN_WITHIN_S = 2.0


class OutputThread:
    """Prints lines to `stream` in a thread of its own, and takes log records as a stream does.

    A line that cannot be printed, because the disk is full, the pipe is closed or nobody reads it,
    is lost; the next line that can be printed follows a line with their number. A character that
    the stream lacks is escaped. Without a stream nothing is printed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_WAITING_LINES)
        self._lost = 0
        self._thread = threading.Thread(target=self._print_all, daemon=True, name="output")

    def __enter__(self) -> "OutputThread":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Print what waits, for at most DRAIN_WITHIN_S."""
        try:
            self._lines.put(None, timeout=DRAIN_WITHIN_S)
        except queue.Full:  # nobody reads
            return
        self._thread.join(DRAIN_WITHIN_S)

    def say(self, line: str) -> None:
        """Print a line, soon, what does not print escaped; never raises, never waits."""
        self._put(printable(line))

    def _put(self, text: str) -> None:
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self._lost += 1

    def write(self, text: str) -> int:
        """Print log records, of which each ends with a line feed."""
        self._put(text.removesuffix("\n"))
        return len(text)

    def flush(self) -> None:
        """Wait for nothing: the thread prints at once."""

    def _print_all(self) -> None:
        while (line := self._lines.get()) is not None:
            lost = self._lost
            notice = f"… {lost:,} lines could not be printed\n" if lost else ""
            try:
                self._print(f"{notice}{line}\n")
            except (OSError, ValueError):  # ValueError: the stream is closed
                self._lost += 1
            else:
                self._lost -= lost

    def _print(self, text: str) -> None:
        if self._stream is None:
            return
        # Past the stream's buffer: a thread that waits for a reader would hold the buffer's lock,
        # for which the interpreter waits at its end.
        handle = self._stream.fileno()
        rest = text.encode(self._stream.encoding, "backslashreplace")
        while rest:
            select.select([], [handle], [])
            rest = rest[os.write(handle, rest) :]
