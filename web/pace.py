"""Pace of a transfer: the deadline of a body or a response that has to make progress."""

import math

__all__ = ["Pace"]


class Pace:
    """Bytes of one transfer, at times in seconds of any one clock.

    `window_bytes` have to pass in every `window_s`, and everything in `whole_s`. Of two transfers
    the one with the earlier `window_began` is the slower one.
    """

    def __init__(
        self, now: float, window_s: float, window_bytes: int, whole_s: float = math.inf
    ) -> None:
        self.window_began = now
        self._window_s, self._window_bytes = window_s, window_bytes
        self._end = now + whole_s
        self._passed = 0

    @property
    def deadline(self) -> float:
        """The time at which the transfer is to be given up."""
        return min(self.window_began + self._window_s, self._end)

    def add(self, size: int, now: float) -> None:
        """Count bytes that have passed."""
        self._passed += size
        if self._passed >= self._window_bytes:
            self.window_began, self._passed = now, 0
