"""Episodes: one step in time makes of rules, open episodes and what is seen the events to record.

Each episode has at most one event a step, so its newest row always has its whole state.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from functions.rules.alerts.closing import Closing
from functions.rules.alerts.episode import (
    NEXT_PHASES,
    Episode,
    Mark,
    Memory,
    Phase,
    episode_id,
)
from functions.rules.alerts.muting import Muting, concerns, in_silent_arm
from functions.rules.alerts.rule import NoDataRule, Rule, ServerFacts, severity_called
from functions.rules.alerts.rule_book import RuleBook
from functions.rules.alerts.signals import Signal
from functions.rules.alerts.words import amount, at, label, listed, odds_words, period
from storage.model.periods import parse_period
from storage.model.severity import SEVERITIES, WARNING, Severity

__all__ = ["ACTS", "Inputs", "step"]

# Marks that say that somebody did something about it.
ACTS = ("acting", "deploy", "remediation", "reboot")
_NOTED = ("acknowledged", *ACTS)
_HEARD_WITHIN = timedelta(days=1)
_MANY = 3  # silent servers, from which on it is said how many there are
_BY_NAME = {severity.name: severity for severity in SEVERITIES}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is seen at one time. `signals` are by rule; those of open episodes are always there.

    `last_seen` has the newest sample of servers heard of within a day, `beliefs` what was thought
    of a silent one, `reboots` the newest boot of a server, `causes` the servers upstream of one.
    """

    signals: Mapping[str, Sequence[Signal]] = field(default_factory=dict)
    servers: Mapping[str, ServerFacts] = field(default_factory=dict)
    last_seen: Mapping[str, datetime] = field(default_factory=dict)
    beliefs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    marks: Sequence[Mark] = ()
    reboots: Mapping[str, datetime] = field(default_factory=dict)
    causes: Mapping[str, Sequence[str]] = field(default_factory=dict)


def step(book: RuleBook, episodes: Iterable[Episode], inputs: Inputs, now: datetime) -> list[Row]:
    """Return the events at `now` as rows of `alert_events`.

    `episodes` are those that are open, and those that ended within the last 24 h.
    """
    return list(_Step(book, list(episodes), inputs, now).events())


class _Step:
    """One step: what is known at `now`."""

    def __init__(
        self, book: RuleBook, episodes: list[Episode], inputs: Inputs, now: datetime
    ) -> None:
        self._book, self._inputs, self._now = book, inputs, now
        self._open = {e.key: e for e in episodes if e.is_open}
        self._ended: dict[Any, list[Episode]] = defaultdict(list)
        for episode in sorted(episodes, key=lambda e: e.ts):
            if not episode.is_open:
                self._ended[episode.key].append(episode)
        self._muting = Muting(book.maintenance, inputs.marks, now)
        self._closing = Closing(now)
        self._signals: dict[tuple[str, str, str | None], Signal] = {
            (rule, signal.server, signal.metric): signal
            for rule, each in inputs.signals.items() for signal in each
        }  # fmt: skip
        self._at_server: dict[str, list[Episode]] = defaultdict(list)
        for episode in self._open.values():
            self._at_server[episode.server].append(episode)

    def events(self) -> Iterator[Row]:
        for episode in self._open.values():
            row = self._next(episode)
            if row is not None:
                yield row
        for key, signal in self._signals.items():
            rule = self._book.by_name.get(key[0])
            if key not in self._open and isinstance(rule, Rule):
                yield from self._opened(rule, signal)
        for each in self._book.by_name.values():
            if isinstance(each, NoDataRule):
                yield from self._silent(each)

    # What becomes of an open episode

    def _next(self, episode: Episode) -> Row | None:
        rule = self._book.by_name.get(episode.rule)
        closed = self._mark(episode, ("closed",))
        if closed is not None:
            memory = msgspec.structs.replace(
                episode.memory, answered_by=closed.made_by or "somebody", closed_by_hand=True
            )
            return self._end(replace(episode, memory=memory), _said("closed", closed), closed)
        if rule is None:
            return self._end(episode, f"rule {episode.rule!r} is off or was removed")
        signal = self._signals.get(episode.key)
        return (
            self._over(episode, rule, signal)
            or self._breach(episode, rule, signal)
            or self._noted(episode)
            or self._rebooted(episode)
            or self._raised(episode, rule, signal)
            or self._unmuted(episode)
            or self._escalated(episode)
            or self._caused(episode)
            or self._countdown(episode, rule, signal)
        )

    def _over(self, episode: Episode, rule: Rule | NoDataRule, signal: Signal | None) -> Row | None:
        if isinstance(rule, NoDataRule):
            seen = self._inputs.last_seen.get(episode.server)
            heard = seen is not None and self._now - seen < parse_period(rule.silent_for)
            return self._end(episode, f"data again since {at(seen)}") if heard and seen else None
        if signal is None:
            return None
        why = self._closing.why(episode, rule, signal, self._ended[episode.key])
        return None if why is None else self._end(_with(episode, signal), why)

    def _end(self, episode: Episode, why: str, mark: Mark | None = None) -> Row:
        phase = Phase.OVER
        if episode.phase == Phase.PREDICTED:
            phase = Phase.AVERTED if episode.memory.acted else Phase.WITHDRAWN
        if phase == Phase.AVERTED:
            why = f"{episode.memory.acted}, and no breach followed; {why}"
        return self._event(
            replace(episode, phase=phase, closes_at=self._now), "closed", why, self._sent(episode),
            mark,
        )  # fmt: skip

    def _breach(
        self, episode: Episode, rule: Rule | NoDataRule, signal: Signal | None
    ) -> Row | None:
        started = None if signal is None else signal.breached_at
        if episode.phase != Phase.PREDICTED or started is None or isinstance(rule, NoDataRule):
            return None
        assert signal is not None
        lead = period(self._now - episode.memory.opened_at)
        after = f", {lead} after the warning"
        changed = replace(
            _with(episode, signal), phase=Phase.BREACHED, breached_at=started, closes_at=None
        )
        why = f"{_breached_words(signal)}{after}; {self._terms(changed, rule, signal)}"
        return self._notified(changed, "breached", why, severity_called(rule.breach_severity, ""))

    def _noted(self, episode: Episode) -> Row | None:
        mark = self._mark(episode, _NOTED)
        if mark is None:
            return None
        memory = msgspec.structs.replace(episode.memory, marks=(*episode.memory.marks, mark.mark))
        said = _said(mark.kind, mark)
        if mark.kind in ("acknowledged", "acting"):
            memory = msgspec.structs.replace(memory, answered_by=mark.made_by or "somebody")
        if mark.kind in ACTS:
            memory = msgspec.structs.replace(memory, acted=said)
        changed = replace(episode, memory=memory)
        return self._event(changed, mark.kind, said, self._sent(episode), mark)

    def _rebooted(self, episode: Episode) -> Row | None:
        boot = self._inputs.reboots.get(episode.server)
        if boot is None or boot < episode.memory.opened_at or episode.memory.acted:
            return None
        said = f"rebooted at {at(boot)}"
        memory = msgspec.structs.replace(episode.memory, acted=said)
        return self._event(replace(episode, memory=memory), "reboot", said, self._sent(episode))

    def _raised(
        self, episode: Episode, rule: Rule | NoDataRule, signal: Signal | None
    ) -> Row | None:
        if signal is None or not signal.pages or isinstance(rule, NoDataRule):
            return None
        severity = severity_called(rule.page_severity, "")
        if severity.rank <= _BY_NAME[episode.severity].rank:
            return None
        changed = _with(episode, signal)
        why = f"the odds rose: {odds_words(signal.p, signal.lead_minutes)}"
        return self._notified(changed, "changed", why, severity)

    def _unmuted(self, episode: Episode) -> Row | None:
        muted = episode.memory.muted
        if muted is None or self._muting.reason(episode) is not None:
            return None
        why = f"no longer muted by {muted}: it is still open"
        memory = msgspec.structs.replace(episode.memory, muted=None, silent_arm=False)
        severity = _BY_NAME[episode.severity]
        return self._notified(replace(episode, memory=memory), "unsilenced", why, severity)

    def _escalated(self, episode: Episode) -> Row | None:
        memory, severity = episode.memory, _BY_NAME[episode.severity]
        ladder = self._book.routes.ladder(severity.slug)
        number = episode.escalation + 1
        if memory.answered_by or memory.notified_at is None or number >= len(ladder):
            return None
        after, channels = ladder[number]
        if self._now < memory.notified_at + after or self._muting.reason(episode) is not None:
            return None
        sent = tuple(dict.fromkeys((*memory.sent_to, *channels)))
        changed = replace(
            episode, escalation=number, memory=msgspec.structs.replace(memory, sent_to=sent)
        )
        waited = period(self._now - memory.notified_at)
        return self._event(changed, "escalated", f"nobody has answered for {waited}", channels)

    def _caused(self, episode: Episode) -> Row | None:
        cause = None if episode.caused_by else self._cause(episode.server, episode.id)
        if cause is None:
            return None
        changed = replace(episode, caused_by=cause.id, group_key=_cascade(cause))
        why = f"it follows {label(cause.metric)} of {cause.server}"
        return self._event(changed, "caused", why, None)

    def _countdown(
        self, episode: Episode, rule: Rule | NoDataRule, signal: Signal | None
    ) -> Row | None:
        """An event when it begins to be quiet enough to close, or ceases to be."""
        if signal is None or isinstance(rule, NoDataRule):
            return None
        ended = self._ended[episode.key]
        closes_at = self._closing.closes_at(episode, rule, signal, ended)
        if (closes_at is None) == (episode.closes_at is None):
            return None
        changed = replace(_with(episode, signal), closes_at=closes_at)
        why = f"closes at {at(closes_at)} if nothing changes" if closes_at else (
            f"no longer about to close: {self._terms(changed, rule, signal)}"
        )  # fmt: skip
        return self._event(changed, "changed", why, None)

    # Openings

    def _opened(self, rule: Rule, signal: Signal) -> Iterator[Row]:
        key = (rule.name, signal.server, signal.metric)
        ended = self._ended[key]
        last = ended[-1] if ended else None
        if signal.breached_at is not None:
            if last is None or not self._closing.was_part(last, signal, rule):
                yield self._opening(rule, signal, last)
        elif signal.warns and not self._closing.is_quiet(rule, ended):
            yield self._opening(rule, signal, last)

    def _opening(self, rule: Rule, signal: Signal, last: Episode | None) -> Row:
        breached = signal.breached_at is not None
        opened_at = signal.breached_at or signal.issued_at or self._now
        phase = Phase.BREACHED if breached else Phase.PREDICTED
        slug = rule.breach_severity if breached else (
            rule.page_severity if signal.pages else rule.severity
        )  # fmt: skip
        again = last is not None and self._closing.soon_after(last)
        episode = self._new(rule.name, signal.server, signal.metric, phase, opened_at, again)
        episode = _with(replace(episode, breached_at=signal.breached_at), signal)
        words = _breached_words(signal) if breached else _warning_words(signal)
        why = f"{words}; {self._terms(episode, rule, signal)}"
        if again and last is not None:
            why = f"again, {period(self._now - last.ts)} after the last episode ended: {why}"
        return self._first_event(episode, why, severity_called(slug, ""))

    def _silent(self, rule: NoDataRule) -> Iterator[Row]:
        limit = parse_period(rule.silent_for)
        silent = {
            server: seen for server, seen in self._inputs.last_seen.items()
            if limit <= self._now - seen <= _HEARD_WITHIN
            and rule.covers(self._inputs.servers.get(server, ServerFacts(server)))
        }  # fmt: skip
        fleet = len(self._inputs.last_seen)
        for server, seen in silent.items():
            if (rule.name, server, None) in self._open:
                continue
            belief = tuple(self._inputs.beliefs.get(server, ()))
            why = f"no data since {at(seen)}; it closes when data come again"
            if len(silent) >= _MANY:
                why = f"{why} ({len(silent)} of {fleet} servers are silent: check their source)"
            still = [e for e in self._at_server[server] if e.metric is not None]
            waiting = tuple(f"{label(e.metric)} stays {e.phase}" for e in still)
            episode = self._new(rule.name, server, None, Phase.NO_DATA, seen, False)
            episode = replace(episode, reasons=(*belief, *waiting))
            yield self._first_event(episode, why, severity_called(rule.severity, ""))

    def _new(
        self, rule: str, server: str, metric: str | None, phase: Phase, opened_at: datetime,
        again: bool,
    ) -> Episode:  # fmt: skip
        facts = self._inputs.servers.get(server, ServerFacts(server))
        memory = Memory(opened_at=opened_at, opened_as=str(phase), again=again)
        ident = episode_id(rule, server, metric, opened_at)
        cause = self._cause(server, ident)
        group = f"{facts.site or 'no site'}, {facts.profile}, {metric or 'no data'}"
        return Episode(
            id=ident, ts=self._now, phase=phase, server=server, metric=metric, rule=rule,
            severity=WARNING.name, escalation=0, memory=memory, profile=facts.profile,
            site=facts.site, caused_by=cause.id if cause else None,
            group_key=_cascade(cause) if cause else group,
        )  # fmt: skip

    def _first_event(self, episode: Episode, why: str, severity: Severity) -> Row:
        low = severity.rank <= WARNING.rank and episode.phase == Phase.PREDICTED
        arm = low and in_silent_arm(episode.id, self._book.silent_share)
        memory = msgspec.structs.replace(episode.memory, silent_arm=arm)
        return self._notified(replace(episode, memory=memory), "opened", why, severity, first=True)

    def _cause(self, server: str, ident: str) -> Episode | None:
        upstream = self._inputs.causes.get(server, ())
        return next(
            (
                e for name in upstream if name != server
                for e in self._at_server.get(name, ()) if ident not in (e.caused_by, e.id)
            ), None,
        )  # fmt: skip

    # Events

    def _terms(self, episode: Episode, rule: Rule, signal: Signal) -> str:
        checked = bool((signal.odds_row or {}).get("checked"))
        return self._closing.terms(episode, rule, checked, self._ended[episode.key])

    def _notified(
        self, episode: Episode, event: str, why: str, severity: Severity, first: bool = False
    ) -> Row:
        """An event of which the severity's first channels are notified, unless it is muted."""
        raised = first or event == "unsilenced"
        raised = raised or severity.rank > _BY_NAME[episode.severity].rank
        if not raised:
            return self._event(episode, event, why, self._sent(episode))
        episode = replace(episode, severity=severity.name, escalation=0)
        ladder = self._book.routes.ladder(severity.slug)
        channels = ladder[0][1] if ladder else ()
        muted = self._muting.reason(episode)
        memory = msgspec.structs.replace(episode.memory, muted=muted, answered_by=None)
        if muted is not None:
            would = f"would have been sent to {listed(channels)}" if channels else "goes nowhere"
            why = f"{why}; {muted}: {would}"
            return self._event(replace(episode, memory=memory), event, why, None)
        memory = msgspec.structs.replace(
            memory, notified_at=self._now,
            sent_to=tuple(dict.fromkeys((*memory.sent_to, *channels))),
        )  # fmt: skip
        return self._event(replace(episode, memory=memory), event, why, channels)

    def _event(
        self, episode: Episode, event: str, why: str, channels: Sequence[str] | None,
        mark: Mark | None = None,
    ) -> Row:  # fmt: skip
        before = self._open.get(episode.key)
        assert before is None or episode.phase in {before.phase, *NEXT_PHASES[before.phase]}
        now = replace(episode, ts=self._now)
        return now.row(event, why, tuple(channels or ()) or None, mark.made_by if mark else None)

    def _sent(self, episode: Episode) -> tuple[str, ...]:
        return episode.memory.sent_to

    def _mark(self, episode: Episode, kinds: Sequence[str]) -> Mark | None:
        """The first mark of these kinds about an episode that it has not taken note of."""
        noted = episode.memory.marks
        return next(
            (
                mark for mark in self._inputs.marks
                if mark.kind in kinds and mark.mark not in noted and concerns(mark, episode)
                and (mark.episode is not None or mark.ts >= episode.memory.opened_at)
            ), None,
        )  # fmt: skip


def _cascade(cause: Episode) -> str:
    key = cause.group_key or ""
    return key if key.startswith("cascade ") else f"cascade {cause.id}"


def _said(verb: str, mark: Mark) -> str:
    words = {"acting": "somebody acts on it", "acknowledged": "acknowledged"}.get(verb, verb)
    by = f" ({mark.made_by})" if mark.made_by else ""
    note = f": {mark.note}" if mark.note else ""
    return f"{words}{by} at {at(mark.ts)}{note}"


def _with(episode: Episode, signal: Signal) -> Episode:
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


def _warning_words(signal: Signal) -> str:
    row = signal.odds_row or {}
    likely = f", likely at {at(row['likely'])}" if row.get("likely") else ""
    checked = "" if row.get("checked") else ", odds not yet checked on breaches of this fleet"
    return (
        f"{label(signal.metric)} at {amount(signal.metric, signal.threshold)}: "
        f"{odds_words(signal.p, signal.lead_minutes)}{likely}, "
        f"now {amount(signal.metric, signal.value)}{checked}"
    )


def _breached_words(signal: Signal) -> str:
    since = f" since {at(signal.breached_at)}" if signal.breached_at else ""
    return (
        f"{label(signal.metric)} at {amount(signal.metric, signal.value)}, at or beyond "
        f"{amount(signal.metric, signal.threshold)}{since}"
    )
