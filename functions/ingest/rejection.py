"""What is not taken, and why: whole requests, and single records, lines or values of one."""

import threading
from typing import Any

from storage.errors import HoursightError
from storage.model.names import escaped

__all__ = ["PushRejected", "RejectReasons", "UnclaimedReasons"]

MAX_REASONS = 20
MAX_EXAMPLE = 200


class PushRejected(HoursightError):
    """A request of which nothing can be taken: an HTTP status, the cause and the remedy."""

    remedy: str

    def __init__(self, status: int, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.status = status


class RejectReasons:
    """Reasons with a count and one example each."""

    def __init__(self) -> None:
        self._found: dict[str, list[Any]] = {}

    def add(self, reason: str, example: Any, count: int = 1) -> None:
        """Note that something was refused."""
        if reason in self._found:
            self._found[reason][0] += count
        else:
            self._found[reason] = [count, example]

    def __bool__(self) -> bool:
        return bool(self._found)

    def merge(self, other: "RejectReasons") -> None:
        """Take in what another has."""
        for reason, (count, example) in other._found.items():
            self.add(reason, example, count)

    @property
    def count(self) -> int:
        """How often something was refused."""
        return sum(count for count, _ in self._found.values())

    def words(self) -> tuple[str, ...]:
        """A sentence for each, as the ledger keeps them."""
        return tuple(
            f"{told['reason']}, as {escaped(str(told['example']))} ({told['count']} times)"
            for told in self.told()
        )

    def told(self) -> list[dict[str, Any]]:
        """The commonest first."""
        ordered = sorted(self._found.items(), key=lambda item: -item[1][0])
        return [
            {"reason": reason, "count": count, "example": _short(example)}
            for reason, (count, example) in ordered[:MAX_REASONS]
        ]

    def first(self) -> str:
        """The commonest in a sentence."""
        told = self.told()[0]
        return f"{told['reason']} (such as {told['example']!r})"


class UnclaimedReasons:
    """Reasons of requests that brought no row, until a segment can carry them.

    Safe to share between threads: each reason is taken once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons = RejectReasons()

    def add(self, reasons: RejectReasons) -> None:
        """Keep these for the next segment."""
        with self._lock:
            self._reasons.merge(reasons)

    def take(self) -> RejectReasons:
        """All that were added since the last time."""
        with self._lock:
            taken, self._reasons = self._reasons, RejectReasons()
        return taken


def _short(example: Any) -> Any:
    text = example if isinstance(example, str) else repr(example)
    if len(text) > MAX_EXAMPLE:
        return text[:MAX_EXAMPLE] + "…"
    return example
