"""Attempts at a warm start: when the next one may begin, by what came of those before it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

__all__ = ["MOST_ATTEMPTS", "Attempt", "is_done", "next_attempt_at"]

# After the first failure, the second, and each other.
PAUSES = (timedelta(minutes=10), timedelta(hours=1), timedelta(days=1))
MOST_ATTEMPTS = 7
ENDED = ("learned", "failed", "refused", "cancelled")
# A command that was killed leaves its row open; no attempt takes so long.
LOST_AFTER = timedelta(days=1)


class Attempt(NamedTuple):
    """One warm start as of its newest event, at `ts`; `cause` is history, or command."""

    training: str
    event: str
    ts: datetime
    cause: str | None
    reason: str | None

    @property
    def is_over(self) -> bool:
        """True if it has ended, well or not."""
        return self.event in ENDED


def is_done(attempts: Sequence[Attempt]) -> bool:
    """Return True if the history was learned from."""
    return any(attempt.event == "learned" for attempt in attempts)


def next_attempt_at(attempts: Sequence[Attempt], now: datetime) -> datetime | None:
    """Return when the next attempt may begin, which may have passed.

    None: none follows, or one is under way. Those of a command do not count as attempts.
    """
    under_way = any(
        not a.is_over and (a.cause != "command" or now - a.ts < LOST_AFTER) for a in attempts
    )
    failed = sorted((a for a in attempts if a.cause != "command"), key=lambda a: a.ts)
    if is_done(attempts) or under_way or len(failed) >= MOST_ATTEMPTS:
        return None
    if not failed:
        return now
    return failed[-1].ts + PAUSES[min(len(failed), len(PAUSES)) - 1]
