"""Looking back: late documents are seen, and none is handed over twice."""

from collections.abc import Hashable, Iterable
from datetime import datetime, timedelta
from typing import Any

__all__ = ["LookbackWindow", "SeenKeys"]

# Servers report in no order: each poll looks back a little, and now and then all the way.
JITTER = timedelta(seconds=15)
LOOKS_PER_OVERLAP = 4
MAX_GIVEN = 50_000


class LookbackWindow:
    """How far back a poll reads: `little`, and four times as often as `overlap` is long all of it.

    `looked` is when it last read all of it; None before the first time.
    """

    def __init__(self, overlap: timedelta, little: timedelta = JITTER) -> None:
        self.looked: datetime | None = None
        self._overlap, self._little = overlap, little

    def due(self, now: datetime) -> bool:
        """Whether it is time to read all of it; also when the clock was set back."""
        pause = self._overlap / LOOKS_PER_OVERLAP
        return self.looked is None or not timedelta(0) <= now - self.looked < pause

    def span(self, far: bool) -> timedelta:
        """How far back a look reads that goes all the way, or does not."""
        return self._overlap if far else min(self._overlap, self._little)


class SeenKeys:
    """The documents that were handed over, by key, with their times (None: never forgotten)."""

    def __init__(self) -> None:
        self._times: dict[Hashable, Any] = {}
        self._crowded_at = MAX_GIVEN

    @property
    def crowded(self) -> bool:
        """Whether it is worth while to forget."""
        return len(self._times) > self._crowded_at

    def take(self, keys: Iterable[Hashable], times: Iterable[Any]) -> list[bool]:
        """Which of the documents are new; from now on none of them is."""
        known, new = self._times, []
        for key, at in zip(keys, times, strict=True):
            new.append(key not in known)
            known[key] = at
        return new

    def forget(self, bound: Any) -> None:
        """Let go of what lies before `bound`, which no look back reaches any more."""
        self._times = {k: at for k, at in self._times.items() if at is None or at >= bound}
        self._crowded_at = MAX_GIVEN + 2 * len(self._times)
