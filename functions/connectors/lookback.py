"""Lookback window and seen keys: late documents are read, and none is handed over twice."""

from collections.abc import Hashable, Iterable
from datetime import datetime, timedelta
from typing import Any

__all__ = ["LookbackWindow", "SeenKeys"]

# Servers report in any order: each poll reads a little of the past again, and some all of it.
JITTER = timedelta(seconds=15)
FULL_READS_PER_OVERLAP = 4
MAX_KEYS = 50_000
_UNKNOWN = object()


class LookbackWindow:
    """How far back a poll reads: `short` each time, and the whole `overlap` four times per overlap.

    `last_full_read` is when a poll last read the whole overlap; None before the first one.
    """

    def __init__(self, overlap: timedelta, short: timedelta = JITTER) -> None:
        self.last_full_read: datetime | None = None
        self._overlap, self._short = overlap, short

    def full_read_due(self, now: datetime) -> bool:
        """Return True if this poll should read the whole overlap; also after a clock set back."""
        pause = self._overlap / FULL_READS_PER_OVERLAP
        last = self.last_full_read
        return last is None or not timedelta(0) <= now - last < pause

    def span(self, full: bool) -> timedelta:
        """Return how far back a full read goes, or a short one."""
        return self._overlap if full else min(self._overlap, self._short)


class SeenKeys:
    """The keys of the documents handed over, with their times; a key without a time is kept."""

    def __init__(self) -> None:
        self._times: dict[Hashable, Any] = {}
        self._limit = MAX_KEYS

    @property
    def over_limit(self) -> bool:
        """Return True if there are enough keys for `discard_before` to be worth its cost."""
        return len(self._times) > self._limit

    def add(self, keys: Iterable[Hashable], times: Iterable[Any]) -> list[bool]:
        """Remember documents; return for each in turn whether its key is new, or has a new time."""
        known, new = self._times, []
        for key, ts in zip(keys, times, strict=True):
            new.append(known.get(key, _UNKNOWN) != ts)
            known[key] = ts
        return new

    def discard_before(self, bound: Any) -> None:
        """Drop the keys with a time before `bound`, which no lookback reaches any more."""
        self._times = {k: ts for k, ts in self._times.items() if ts is None or ts >= bound}
        self._limit = MAX_KEYS + 2 * len(self._times)
