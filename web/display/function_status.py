"""Functions as their pages show them: the engine's list joined with the runs of the lake."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

import msgspec

from web.display import formatting

__all__ = [
    "FAILED_OUTCOMES", "FunctionStatus", "FunctionWords", "ShownRun", "function_statuses",
    "milliseconds",
]  # fmt: skip

FAILED_OUTCOMES = (
    "failed", "crashed", "timed out", "out of memory", "unreachable", "not written",
)  # fmt: skip
_REMEDIES = {
    "failed": "Correct {where}: it is live as soon as it is saved.",
    "crashed": "Its process ended under it: look for native code, os._exit and signals in {where}.",
    "timed out": "Make it faster, hand it less at a time (a cursor), or give it longer: "
    "@function(deadline=…) in {where}.",
    "out of memory": "Work in pieces, or give it more: @function(memory_mb=…) in {where}.",
    "unreachable": "See whether its source answers; it continues by itself when it does.",
    "not written": "See 'hoursight doctor' for what keeps the disk from being written; it "
    "continues by itself.",
}


class FunctionWords(msgspec.Struct, frozen=True):
    """A function as the engine's function `function_states` describes it."""

    name: str
    on: list[str] = []
    writes: list[str] = []
    purpose: str = ""
    file: str | None = None
    loaded: bool = True
    suspended: bool = False
    failures: int = 0
    next_at: datetime | None = None
    runnable: bool = False
    load_error: str | None = None


class State(IntEnum):
    """How a function fares, the worst first."""

    SUSPENDED = 0
    NOT_LOADED = 1
    FAILING = 2
    WELL = 3


@dataclass(frozen=True, slots=True)
class FunctionStatus:
    """One function as of `now`: what the engine says of it, and its row of `functions.sql`."""

    name: str
    words: FunctionWords | None
    row: Mapping[str, Any]
    now: datetime

    @property
    def state(self) -> State:
        """How it fares."""
        if self.words is not None and self.words.suspended:
            return State.SUSPENDED
        if self.words is not None and (not self.words.loaded or self.words.load_error):
            return State.NOT_LOADED
        if self.row.get("last_outcome") in FAILED_OUTCOMES:
            return State.FAILING
        return State.WELL

    @property
    def summary(self) -> str:
        """The state in one sentence."""
        if self.state == State.SUSPENDED and self.words is not None:
            return f"Suspended after {self.words.failures} failures in a row: {self.error}"
        if self.state == State.NOT_LOADED and self.words is not None:
            return _not_loaded(self.words)
        if self.state == State.FAILING:
            outcome = formatting.sentence(str(self.row["last_outcome"]))
            return f"{outcome}: {self.error}"
        if not self.row:
            return "Has not run yet" if self.words else "Not known"
        return {"ok": "Well", "nothing": "Well, nothing to do"}.get(
            self.row["last_outcome"], formatting.sentence(str(self.row["last_outcome"]))
        )

    @property
    def error(self) -> str:
        """Why it failed last, without the lines after the first."""
        text = self.row.get("failed_error") or self.row.get("last_error")
        return str(text or "no reason was given").strip().split("\n", 1)[0]

    @property
    def remedy(self) -> str:
        """What to do about it; empty when nothing is wrong."""
        if self.state == State.WELL:
            return ""
        if self.state == State.NOT_LOADED:
            return f"Correct {self.where}: it is loaded as soon as it is saved."
        outcome = self.row.get("last_outcome")
        remedy = _REMEDIES.get(str(outcome), _REMEDIES["failed"])
        return remedy.format(where=self.where)

    @property
    def where(self) -> str:
        """Its file, in words."""
        file = self.words.file if self.words else None
        return file or "its module in the folder functions"

    @property
    def next_text(self) -> str:
        """When it runs next."""
        words = self.words
        if words is None or not words.loaded:
            return "not known"
        if words.next_at is not None:
            at = formatting.clock(words.next_at, self.now)
            return f"tried again at {at}" if words.failures else f"at {at}"
        timeless = [trigger for trigger in words.on if not trigger.startswith("request")]
        return f"when set off by {' or '.join(timeless)}" if timeless else "when it is called"


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run of a function, a row of `function_runs.sql`."""

    row: Mapping[str, Any]

    @property
    def failed(self) -> bool:
        """Whether it ended with an error of its own, of its source or of the disk."""
        return self.row["outcome"] in FAILED_OUTCOMES

    @property
    def rows_text(self) -> str:
        """What became of its rows."""
        parts = []
        if self.row["rows_out"]:
            parts.append(f"{self.row['rows_out']:,} returned")
        if self.row["rows_new"] is not None:
            parts.append(f"{self.row['rows_new']:,} stored")
        if self.row["rows_refused"]:
            parts.append(f"{self.row['rows_refused']:,} refused")
        return ", ".join(parts) or "none"


def milliseconds(duration_ms: float | None) -> str:
    """Return a time of a run: `12 ms`, `4.2 s`; a dash where it is not known."""
    if duration_ms is None:
        return "–"
    if duration_ms < 1000:
        return f"{duration_ms:.0f} ms"
    return f"{duration_ms / 1000:.1f} s" if duration_ms < 60_000 else formatting.duration(
        duration_ms / 1000
    )  # fmt: skip


def function_statuses(
    words: Iterable[FunctionWords], rows: Sequence[Mapping[str, Any]], now: datetime
) -> list[FunctionStatus]:
    """Return every function that the engine or the lake knows, the worst first."""
    known, by_name = {each.name: each for each in words}, {row["function"]: row for row in rows}
    statuses = [
        FunctionStatus(name, known.get(name), by_name.get(name, {}), now)
        for name in sorted(known.keys() | by_name.keys())
    ]
    return sorted(statuses, key=lambda status: status.state)


def _not_loaded(words: FunctionWords) -> str:
    runs_on = "its last good version runs" if words.loaded else "nothing of it runs"
    why = words.load_error or "the engine has not loaded it yet"
    return f"The file as it is saved is not loaded ({runs_on}): {why}"
