"""Reject log: refused rows, values and records, counted by reason, with one example of each."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from storage.model.names import escaped

__all__ = ["MAX_EXAMPLE_CHARS", "MAX_LISTED", "MAX_REASONS", "OTHER", "RejectLog", "RejectReason"]

MAX_LISTED = 20
# Senders choose part of the text of a reason: beyond so many, reasons are counted together.
MAX_REASONS = 200
MAX_EXAMPLE_CHARS = 200
OTHER = "other reasons"


@dataclass(slots=True)
class RejectReason:
    """A reason, how often it applied, and the first value or record that it applied to."""

    reason: str
    example: Any
    count: int
    remedy: str = ""

    def sentence(self) -> str:
        """The reason as the run log keeps it: `reason, as example: remedy (3 times)`."""
        remedy = f": {self.remedy}" if self.remedy else ""
        times = "once" if self.count == 1 else f"{self.count} times"
        return f"{self.reason}, as {escaped(str(self.example))}{remedy} ({times})"


class RejectLog:
    """Reasons with a count and the first example of each; of bounded size.

    `count` is the number of rows, values or records that were refused.
    """

    def __init__(self) -> None:
        self.count = 0
        self._reasons: dict[tuple[str, str], RejectReason] = {}

    def __bool__(self) -> bool:
        return bool(self._reasons)

    def add(self, reason: str, example: Any, count: int = 1, remedy: str = "") -> None:
        """Refuse `count` values for one reason; a count of 0 notes something that was kept."""
        self.count += count
        known = self._reasons.get((reason, remedy))
        if known is not None:
            known.count += count
        elif len(self._reasons) < MAX_REASONS or reason == OTHER:
            short = _shortened(example)
            self._reasons[reason, remedy] = RejectReason(reason, short, count, remedy)
        else:
            self.count -= count
            self.add(OTHER, example, count)

    def note(self, reason: str, example: Any, count: int, remedy: str = "") -> None:
        """Count what was kept, with what has to be known about it; it is not refused."""
        self.add(reason, example, count, remedy)
        self.count -= count

    def merge(self, other: "RejectLog") -> None:
        """Add all reasons and the count of another log."""
        uncounted = other.count - sum(each.count for each in other._reasons.values())
        for each in other._reasons.values():
            self.add(each.reason, each.example, each.count, each.remedy)
        self.count += uncounted

    def ranked(self) -> list[RejectReason]:
        """At most MAX_LISTED reasons, the most frequent first; ties in the order of arrival."""
        ordered = sorted(self._reasons.values(), key=lambda each: -each.count)
        return [replace(each) for each in ordered[:MAX_LISTED]]

    def sentences(self) -> tuple[str, ...]:
        """One sentence a reason, the most frequent first."""
        return tuple(each.sentence() for each in self.ranked())

    @classmethod
    def merged(cls, logs: Iterable["RejectLog"]) -> "RejectLog":
        """Return a new log with the reasons of all `logs`."""
        whole = cls()
        for log in logs:
            whole.merge(log)
        return whole


def _shortened(example: Any) -> Any:
    text = example if isinstance(example, str) else repr(example)
    return text[:MAX_EXAMPLE_CHARS] + "…" if len(text) > MAX_EXAMPLE_CHARS else example
