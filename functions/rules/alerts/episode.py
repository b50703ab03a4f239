"""Episodes: what is known of one, its phases, and its way to and from rows of `alert_events`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

__all__ = [
    "ENDED", "NEXT_PHASES", "Episode", "Mark", "MarkFields", "Memory", "Phase", "episode_id",
    "episode_of",
]  # fmt: skip


class Phase(StrEnum):
    """The phases of an episode."""

    PREDICTED = "predicted"
    BREACHED = "breached"
    NO_DATA = "no data"
    OVER = "over"
    WITHDRAWN = "withdrawn"
    AVERTED = "averted"


ENDED = frozenset({Phase.OVER, Phase.WITHDRAWN, Phase.AVERTED})
# The phases that may follow each phase; None stands for before the opening.
NEXT_PHASES: Mapping[Phase | None, frozenset[Phase]] = {
    None: frozenset({Phase.PREDICTED, Phase.BREACHED, Phase.NO_DATA}),
    Phase.PREDICTED: frozenset({Phase.BREACHED, Phase.WITHDRAWN, Phase.AVERTED}),
    Phase.BREACHED: frozenset({Phase.OVER}),
    Phase.NO_DATA: frozenset({Phase.OVER}),
    Phase.OVER: frozenset(),
    Phase.WITHDRAWN: frozenset(),
    Phase.AVERTED: frozenset(),
}


class Memory(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a rule must remember of an episode: the column `state`, as JSON."""

    opened_at: datetime
    again: bool = False  # within two hours after an episode of the same series
    silent_arm: bool = False
    muted: str | None = None  # why nobody is notified
    answered_by: str | None = None  # who acknowledged it: it no longer escalates
    closed_by_hand: bool = False
    acted: str | None = None  # what somebody did about it
    marks: tuple[str, ...] = ()
    notified_at: datetime | None = None  # when its severity was first sent
    sent_to: tuple[str, ...] = ()
    peak_p: float | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """An episode as of its newest event; `ts` is the time of that event.

    Its messages are sent as those of the episode `group_id`, the first of its group; None: it is
    that itself.
    """

    id: str
    ts: datetime
    phase: Phase
    server: str
    metric: str | None
    rule: str
    severity: str
    escalation: int
    memory: Memory
    profile: str = "generic"
    site: str | None = None
    value: float | None = None
    threshold: float | None = None
    p: float | None = None
    lead_minutes: int | None = None
    earliest: datetime | None = None
    likely: datetime | None = None
    latest: datetime | None = None
    breached_at: datetime | None = None
    closes_at: datetime | None = None
    group_key: str | None = None
    group_id: str | None = None
    caused_by: str | None = None
    reasons: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Return True until it has ended."""
        return self.phase not in ENDED

    @property
    def came_to_nothing(self) -> bool:
        """Return True for a warning that was withdrawn, and for a breach soon after another."""
        return self.phase == Phase.WITHDRAWN or (self.memory.again and not self.is_open)

    @property
    def group(self) -> str:
        """The episode under whose id its messages are sent."""
        return self.group_id or self.id

    @property
    def key(self) -> tuple[str, str, str | None]:
        """Its rule, server and metric: of each there is one open episode."""
        return self.rule, self.server, self.metric

    def row(
        self, event: str, why: str, channels: tuple[str, ...] | None, made_by: str | None
    ) -> dict[str, Any]:
        """Return a row of `alert_events` for an event of this time."""
        names = set(self.__slots__) - {"id", "memory", "reasons", "phase"}
        return {name: getattr(self, name) for name in names} | {
            "episode": self.id,
            "phase": str(self.phase),
            "event": event,
            "why": why,
            "channels": ",".join(channels) if channels else None,
            "made_by": made_by,
            "reasons": list(self.reasons),
            "state": msgspec.json.encode(self.memory).decode(),
        }


class MarkFields(msgspec.Struct, frozen=True, kw_only=True):
    """What a person did or announced, and about what."""

    kind: str
    server: str | None = None
    pattern: str | None = None
    metric: str | None = None
    episode: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    made_by: str | None = None
    note: str | None = None


class Mark(MarkFields, frozen=True, kw_only=True):
    """A row of `marks`: its id, and when it was made."""

    mark: str
    ts: datetime


def episode_id(
    rule: str, server: str, metric: str | None, phase: Phase, opened_at: datetime
) -> str:
    """Return the id of an episode: the same whenever the same opening is found again."""
    parts = (rule, server, metric or "", phase, opened_at.isoformat())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def episode_of(row: Mapping[str, Any]) -> Episode:
    """Return the episode whose newest event is a row of `alert_events`."""
    names = set(Episode.__slots__) - {"id", "phase", "memory", "reasons"}
    known = {name: row[name] for name in names if name in row}
    return Episode(
        id=row["episode"],
        phase=Phase(row["phase"]),
        memory=msgspec.json.decode(row["state"], type=Memory),
        reasons=tuple(row["reasons"] or ()),
        **{**known, "profile": known["profile"] or "generic"},
    )
