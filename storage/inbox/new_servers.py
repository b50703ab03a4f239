"""Limit on new servers an hour from one sender: a flood of invented names ends there."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from storage.inbox.validation import ValidationResult

__all__ = ["REMEDY", "NewServers", "reason", "without_flood"]

PERIOD_S = 3600.0
REFRESH_S = 60.0
# Of these the oldest counts are forgotten beyond that number.
MAX_SENDERS = 10_000
REMEDY = "raise new_per_hour below [servers] in the settings if these servers are yours"

# Pushes were counted by address when they came.
PUSHED = frozenset({"feed", "influx", "remote_write"})

Seconds = Callable[[], float]


class NewServers:
    """Counts the servers that each sender adds; safe to share between threads.

    `known` returns the servers that count as old. It is called when a sender seems to be over the
    limit: this process does not know them all after its start.
    """

    def __init__(
        self, per_hour: int, known: Callable[[], Iterable[str]], clock: Seconds = time.monotonic
    ) -> None:
        self.per_hour = per_hour
        self._ask, self._clock = known, clock
        self._known: set[str] = set()
        self._asked_at: float | None = None
        self._counts: dict[str, tuple[float, int]] = {}  # the hour's begin [s], and how many
        self._lock = threading.Lock()

    def refused(self, sender: str, servers: Iterable[str]) -> set[str]:
        """The servers that are new and over the sender's limit; the others are known from now on.

        Call it once for what is about to be taken.
        """
        with self._lock:
            new = [name for name in dict.fromkeys(servers) if name not in self._known]
            if not new:
                return set()
            began, count = self._count(sender)
            if count + len(new) > self.per_hour:
                self._refresh()
                new = [name for name in new if name not in self._known]
            taken = new[: max(0, self.per_hour - count)]
            self._known.update(taken)
            self._counts[sender] = began, count + len(taken)
            return set(new[len(taken) :])

    def _count(self, sender: str) -> tuple[float, int]:
        now = self._clock()
        began, count = self._counts.pop(sender, (now, 0))
        if len(self._counts) >= MAX_SENDERS:
            del self._counts[next(iter(self._counts))]
        return (now, 0) if now - began >= PERIOD_S else (began, count)

    def _refresh(self) -> None:
        if self._asked_at is None or self._clock() - self._asked_at >= REFRESH_S:
            self._known.update(self._ask())
            self._asked_at = self._clock()


def reason(per_hour: int) -> str:
    """Why a server was refused."""
    return f"server: more than {per_hour:,} new servers within an hour from one sender"


def without_flood(
    segments: Sequence[ValidationResult], servers: NewServers
) -> list[ValidationResult]:
    """The segments without rows of new servers over the limit of their source, with the reason."""
    return [_without_flood(each, servers) for each in segments]


def _without_flood(segment: ValidationResult, servers: NewServers) -> ValidationResult:
    rows, source = segment.rows, segment.provenance.function
    if segment.provenance.table not in ("metrics", "server_facts") or source in PUSHED:
        return segment
    flood = servers.refused(source, rows["server"].unique().to_pylist())
    if not flood:
        return segment
    wrong = pc.is_in(rows["server"], value_set=pa.array(sorted(flood), pa.string()))
    count = pc.sum(wrong).as_py()
    why = f"{reason(servers.per_hour)}, as {min(flood)}; {REMEDY} ({count} rows)"
    return replace(
        segment, rows=rows.filter(pc.invert(wrong)), refused=segment.refused + count,
        reasons=(*segment.reasons, why),
    )  # fmt: skip
