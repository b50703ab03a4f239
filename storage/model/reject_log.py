"""Reject log: refused rows, values and records, counted by reason, with one example of each."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from storage.platform.printable import printable

__all__ = [
    "MAX_EXAMPLE_CHARS",
    "MAX_LISTED",
    "MAX_REASONS",
    "OTHER",
    "TWO_SENDERS",
    "RejectLog",
    "RejectReason",
]

MAX_LISTED = 20
# Senders choose part of the text of a reason: beyond so many, reasons are counted together.
MAX_REASONS = 200
MAX_EXAMPLE_CHARS = 200
MAX_REASON_CHARS = 1000
OTHER = "other reasons"
# The reason of a note that the page of sources shows beside the state.
TWO_SENDERS = "two senders write {server} at the same time"


@dataclass(slots=True)
class RejectReason:
    """A reason, how often it applied, and the first value or record that it applied to."""

    reason: str
    example: Any
    count: int
    remedy: str = ""
    kept: bool = False  # stored all the same, as the reason says

    def sentence(self) -> str:
        """The reason as the run log keeps it: `reason, as example: remedy (3 times)`.

        What was kept, with a count of 0, has no times.
        """
        remedy = f": {self.remedy}" if self.remedy else ""
        times = {0: "", 1: " (once)"}.get(self.count, f" ({self.count} times)")
        return f"{self.reason}, as {printable(str(self.example))}{remedy}{times}"


class RejectLog:
    """Reasons with a count and the first example of each; of bounded size.

    `count` is the number of rows, values or records that were refused, `clamped` that of values
    that were stored as the bound of their metric.
    """

    def __init__(self) -> None:
        self.count = self.clamped = 0
        self._reasons: dict[tuple[str, str], RejectReason] = {}

    def __bool__(self) -> bool:
        return bool(self._reasons)

    def add(self, reason: str, example: Any, count: int = 1, remedy: str = "") -> None:
        """Refuse `count` values for one reason; a count of 0 notes something that was kept."""
        self.count += count
        self._enter(RejectReason(reason, example, count, remedy))

    def clamp(self, reason: str, example: Any, count: int = 1) -> None:
        """Note that `count` values just outside a metric's range were stored as its bound."""
        self.clamped += count
        self._enter(RejectReason(reason, example, count, kept=True))

    def _enter(self, entry: RejectReason) -> None:
        if len(entry.reason) > MAX_REASON_CHARS:
            entry = replace(entry, reason=entry.reason[:MAX_REASON_CHARS] + "…")
        known = self._reasons.get((entry.reason, entry.remedy))
        if known is not None:
            known.count += entry.count
        elif len(self._reasons) < MAX_REASONS or entry.reason == OTHER:
            new = replace(entry, example=_shortened(entry.example))
            self._reasons[entry.reason, entry.remedy] = new
        elif not entry.kept:
            self._enter(RejectReason(OTHER, entry.example, entry.count))

    def note(self, reason: str, example: Any, count: int, remedy: str = "") -> None:
        """Count what was kept, with what has to be known about it; it is not refused."""
        self.add(reason, example, count, remedy)
        self.count -= count

    def merge(self, other: "RejectLog") -> None:
        """Add all reasons and the count of another log."""
        for each in other._reasons.values():
            self._enter(replace(each))
        self.count += other.count
        self.clamped += other.clamped

    def ranked(self) -> list[RejectReason]:
        """At most MAX_LISTED reasons, the most frequent first; ties in the order of arrival.

        What was kept comes after what was refused.
        """
        ordered = sorted(self._reasons.values(), key=lambda each: (each.kept, -each.count))
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
