"""Limit on repeated log lines: those of one place in the code, with a count of those left out."""

import logging
import threading
from dataclasses import dataclass

__all__ = ["RepeatLimit"]

# Of the lines of one place in the code and one level; the level debug has no limit.
MAX_LINES = 50
WINDOW_S = 10.0

_Key = tuple[str, int, int]


@dataclass
class _Window:
    lines: int = 0
    left_out: int = 0
    last: logging.LogRecord | None = None


class RepeatLimit(logging.Filter):
    """Filter of a handler: up to `max_lines` of each place within `window_s` pass.

    At the end of the window one more line says how many were left out, and the last of them.
    """

    def __init__(
        self, handler: logging.Handler, max_lines: int = MAX_LINES, window_s: float = WINDOW_S
    ) -> None:
        super().__init__()
        self._handler = handler
        self._max_lines, self._window_s = max_lines, window_s
        self._windows: dict[_Key, _Window] = {}
        self._began: float | None = None
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True if the record is to be written."""
        if record.levelno <= logging.DEBUG:
            return True
        with self._lock:
            if self._began is None or record.created - self._began >= self._window_s:
                due, self._windows, self._began = self._windows, {}, record.created
            else:
                due = {}
            passes = self._count(record)
        self._write(due)
        return passes

    def report(self) -> None:
        """Write the counts of what was left out so far."""
        with self._lock:
            due, self._windows, self._began = self._windows, {}, None
        self._write(due)

    def _count(self, record: logging.LogRecord) -> bool:
        window = self._windows.setdefault(
            (record.pathname, record.lineno, record.levelno), _Window()
        )
        window.lines += 1
        if window.lines <= self._max_lines:
            return True
        if not window.left_out:  # nothing else may be logged for a long time
            timer = threading.Timer(self._window_s, self.report)
            timer.daemon = True
            timer.start()
        window.left_out, window.last = window.left_out + 1, record
        return False

    def _write(self, windows: dict[_Key, _Window]) -> None:
        for window in windows.values():
            if window.last is not None:
                self._handler.acquire()
                try:
                    self._handler.emit(self._summary(window, window.last))
                finally:
                    self._handler.release()

    def _summary(self, window: _Window, last: logging.LogRecord) -> logging.LogRecord:
        return logging.LogRecord(
            last.name, last.levelno, last.pathname, last.lineno,
            "%d lines like this were left out within %g s, the last one: %s",
            (window.left_out, self._window_s, last.getMessage()), None,
        )  # fmt: skip
