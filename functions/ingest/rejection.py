"""Rejected pushes, and how a response lists the reasons of what was refused."""

import threading
from typing import Any

from storage.errors import HoursightError
from storage.model.reject_log import RejectLog
from storage.model.time_limits import TimeProblem

__all__ = [
    "PushRejected", "UnclaimedReasons", "counts_of", "main_reason", "reason_records", "time_reason",
]  # fmt: skip


class PushRejected(HoursightError):
    """A request of which nothing is accepted: HTTP status, message and remedy."""

    remedy: str

    def __init__(self, status: int, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.status = status


def reason_records(rejects: RejectLog) -> list[dict[str, Any]]:
    """The reasons as a push's answer lists them: `reason`, `count`, `example`; frequent first."""
    return [
        {"reason": each.reason, "count": each.count, "example": each.example}
        for each in rejects.ranked()
    ]


def counts_of(rejects: RejectLog) -> dict[str, Any]:
    """What a segment's provenance says of refused and clamped values."""
    return {
        "refused": rejects.count, "clamped": rejects.clamped, "reasons": rejects.sentences(),
    }  # fmt: skip


def main_reason(rejects: RejectLog) -> str:
    """The most frequent reason with its example, for an answer's remedy."""
    first = rejects.ranked()[0]
    return f"{first.reason} (such as {first.example!r})"


def time_reason(problem: TimeProblem, name_unit: str) -> str:
    """The reason for a time that cannot be true, with the remedy.

    `name_unit` says how a sender of this protocol names the unit `{unit}`.
    """
    if problem.unit is None:
        return f"the time {problem.reason}: {problem.remedy}"
    return f"the time {problem.reason}: {name_unit.format(unit=problem.unit)}"


class UnclaimedReasons:
    """Reasons of requests without an accepted row, kept until a segment can carry them.

    Safe to share between threads: each reason is returned once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons = RejectLog()

    def __bool__(self) -> bool:
        with self._lock:
            return bool(self._reasons)

    def add(self, reasons: RejectLog) -> None:
        """Keep reasons for the next segment."""
        with self._lock:
            self._reasons.merge(reasons)

    def take(self) -> RejectLog:
        """Return and remove the reasons added since the last call."""
        with self._lock:
            taken, self._reasons = self._reasons, RejectLog()
        return taken
