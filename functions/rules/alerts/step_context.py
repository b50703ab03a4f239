"""Context of one step: what is seen at one time, and the rows and channels of events."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from functions.rules.alerts.closing import Closing
from functions.rules.alerts.episode import NEXT_PHASES, Episode, Mark, Phase
from functions.rules.alerts.muting import Muting
from functions.rules.alerts.rule import Rule, ServerFacts
from functions.rules.alerts.rule_book import RuleBook
from functions.rules.alerts.signals import Signal
from functions.rules.alerts.words import listed
from storage.model.severity import SEVERITY_BY_NAME, Severity

__all__ = ["Inputs", "Row", "StepContext", "cascade_key", "with_signal"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is seen at one time. `signals` are by rule; those of open episodes are always there.

    `last_seen` has the newest sample of servers heard of within a day, `beliefs` what was thought
    of a silent one, `reboots` the newest boot of a server, `causes` the servers upstream of one.
    Samples have been collected since `collecting_since` (None: for long).
    """

    signals: Mapping[str, Sequence[Signal]] = field(default_factory=dict)
    servers: Mapping[str, ServerFacts] = field(default_factory=dict)
    last_seen: Mapping[str, datetime] = field(default_factory=dict)
    beliefs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    marks: Sequence[Mark] = ()
    reboots: Mapping[str, datetime] = field(default_factory=dict)
    causes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    collecting_since: datetime | None = None


class StepContext:
    """What is known at `now`: open episodes by key, ended ones oldest first, signals by key."""

    def __init__(
        self, book: RuleBook, episodes: Iterable[Episode], inputs: Inputs, now: datetime
    ) -> None:
        self.book, self.inputs, self.now = book, inputs, now
        self.closing = Closing(now)
        self.signals: dict[tuple[str, str, str | None], Signal] = {
            (rule, signal.server, signal.metric): signal
            for rule, each in inputs.signals.items() for signal in each
        }  # fmt: skip
        self.open: dict[tuple[str, str, str | None], Episode] = {}
        self.ended: dict[tuple[str, str, str | None], list[Episode]] = defaultdict(list)
        self.at_server: dict[str, list[Episode]] = defaultdict(list)
        self._causes: dict[str, str | None] = {}
        self._groups: dict[str, str] = {}  # by episode
        self._open_groups: dict[tuple[str, str], str] = {}  # by rule and key
        self._silent: dict[str, str] = {}  # servers by the ids of their episodes
        self.muting = Muting(book.maintenance, inputs.marks, self._silent, now)
        for episode in sorted(episodes, key=lambda e: e.ts):
            self._causes[episode.id] = episode.caused_by
            self._groups[episode.id] = episode.group
            if episode.is_open:
                self.open[episode.key] = episode
                self.at_server[episode.server].append(episode)
                self._open_groups[episode.rule, episode.group_key or ""] = episode.group
                if episode.phase == Phase.NO_DATA:
                    self._silent[episode.id] = episode.server
            else:
                self.ended[episode.key].append(episode)

    def terms(self, episode: Episode, rule: Rule, signal: Signal) -> str:
        """Return in words when an episode would close."""
        checked = bool((signal.odds_row or {}).get("checked"))
        return self.closing.terms(episode, rule, checked, self.ended[episode.key])

    def cause(self, server: str, ident: str) -> Episode | None:
        """Return the open episode upstream that an episode follows from; never one of its own."""
        for name in self.inputs.causes.get(server, ()):
            for other in self.at_server[name] if name != server else ():
                if ident not in self._chain(other.id):
                    self._causes[ident] = other.id
                    return other
        return None

    def knows(self, ident: str) -> bool:
        """Return True for an episode that is open, or was within the last day."""
        return ident in self._groups

    def group_of(self, ident: str | None) -> str | None:
        """Return the group of an episode that is open, or was within the last day."""
        return self._groups.get(ident or "")

    def grouped(self, episode: Episode, by: Sequence[str], cause: Episode | None) -> Episode:
        """Return a new episode in the group of its cause, or of those that are like it."""
        if cause is not None and "cascade" in by:
            return replace(episode, group_key=cascade_key(cause), group_id=cause.group)
        key = group_key(episode, by)
        if key is None:
            return episode
        open_group = self._open_groups.get((episode.rule, key))
        if open_group is None and not self.knows(episode.id):
            self._open_groups[episode.rule, key] = episode.id
        return replace(episode, group_key=key, group_id=open_group)

    def is_first(self, silent: Episode) -> None:
        """Take note of an episode of missing data that others of this time are told with."""
        self._silent[silent.id] = silent.server

    def _chain(self, ident: str | None) -> Iterator[str]:
        """An episode and all that it follows from."""
        while ident is not None:
            yield ident
            ident = self._causes.get(ident)

    def notified(
        self, episode: Episode, event: str, why: str, severity: Severity, *, anew: bool = False
    ) -> Row:
        """Return an event of which the severity's first channels are notified unless it is muted.

        At a severity that was sent already nobody else is notified, unless `anew`.
        """
        if not anew and severity.rank <= SEVERITY_BY_NAME[episode.severity].rank:
            return self.event(episode, event, why, episode.memory.sent_to)
        episode = replace(episode, severity=severity.name, escalation=0)
        ladder = self.book.routes.ladder(severity.slug)
        channels = ladder[0][1] if ladder else ()
        muted = self.muting.reason(episode)
        memory = msgspec.structs.replace(episode.memory, muted=muted, answered_by=None)
        if muted is not None:
            would = f"would have been sent to {listed(channels)}" if channels else "goes nowhere"
            why, channels = f"{why}; {muted}: {would}", ()
        else:
            sent = tuple(dict.fromkeys((*memory.sent_to, *channels)))
            memory = msgspec.structs.replace(memory, notified_at=self.now, sent_to=sent)
        return self.event(replace(episode, memory=memory), event, why, channels)

    def event(
        self,
        episode: Episode,
        event: str,
        why: str,
        channels: Sequence[str] = (),
        mark: Mark | None = None,
    ) -> Row:
        """Return an event of this time as a row."""
        before = self.open.get(episode.key)
        if before and episode.phase not in {before.phase, *NEXT_PHASES[before.phase]}:
            phases = f"from {before.phase} to {episode.phase}"
            raise ValueError(f"episode {episode.id} cannot go {phases}")
        made_by = mark.made_by if mark else None
        return replace(episode, ts=self.now).row(event, why, tuple(channels), made_by)


def group_key(episode: Episode, by: Sequence[str]) -> str | None:
    """Return what the episodes of a group have in common; None: it stands for itself."""
    values = {
        "site": episode.site or "no site", "profile": episode.profile,
        "metric": episode.metric or "no data", "server": episode.server,
    }  # fmt: skip
    return ", ".join(values[name] for name in by if name in values) or None


def cascade_key(cause: Episode) -> str:
    """Return the group of an episode and all that follow from it."""
    key = cause.group_key or ""
    return key if key.startswith("cascade ") else f"cascade {cause.id}"


def with_signal(episode: Episode, signal: Signal) -> Episode:
    """Return the episode with what is seen now."""
    row = signal.odds_row or {}
    memory = episode.memory
    if signal.p is not None and signal.p > (memory.peak_p or 0.0):
        memory = msgspec.structs.replace(memory, peak_p=signal.p)
    if memory.model is None and row.get("model"):
        memory = msgspec.structs.replace(memory, model=row["model"])
    return replace(
        episode, memory=memory, value=signal.value, threshold=signal.threshold, p=signal.p,
        lead_minutes=signal.lead_minutes, earliest=row.get("earliest"), likely=row.get("likely"),
        latest=row.get("latest"), reasons=tuple(row.get("drivers") or ()) or episode.reasons,
    )  # fmt: skip
