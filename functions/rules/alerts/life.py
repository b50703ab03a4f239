"""Life of an open episode: the one event that happens to it at one time, if any does."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from functions.rules.acted_on import ACTS
from functions.rules.alerts.episode import Episode, Mark, Phase
from functions.rules.alerts.muting import concerns
from functions.rules.alerts.rule import (
    NoDataRule,
    Rule,
    ServerFacts,
    matches,
    severity_called,
)
from functions.rules.alerts.signals import Signal
from functions.rules.alerts.step_context import (
    Row,
    StepContext,
    cascade_key,
    with_signal,
)
from functions.rules.alerts.words import at, breached_words, label, odds_words, period
from storage.model.periods import parse_period
from storage.model.severity import SEVERITY_BY_NAME

__all__ = ["Life"]

_ANSWERS = ("acknowledged", "acting")
_NOTED = ("acknowledged", *ACTS)


class Life:
    """Judges open episodes at one time. What ends or worsens one comes before all else."""

    def __init__(self, context: StepContext) -> None:
        self._at = context

    def next(self, episode: Episode) -> Row | None:
        """Return the event of an open episode at this time; None: nothing happened to it."""
        rule = self._at.book.by_name.get(episode.rule)
        closed = self._mark(episode, ("closed",))
        if closed is not None:
            memory = msgspec.structs.replace(
                episode.memory, answered_by=closed.made_by or "somebody", closed_by_hand=True
            )
            return self._end(replace(episode, memory=memory), _said("closed", closed), closed)
        if rule is None:
            return self._end(episode, f"rule {episode.rule!r} is off or was removed")
        if not self._is_covered(episode, rule):
            return self._end(episode, f"rule {episode.rule!r} no longer covers it")
        signal = self._at.signals.get(episode.key)
        return (
            self._over(episode, rule, signal)
            or self._breach(episode, rule, signal)
            or self._noted(episode)
            or self._rebooted(episode)
            or self._answered(episode)
            or self._raised(episode, rule, signal)
            or self._unmuted(episode)
            or self._escalated(episode)
            or self._caused(episode, rule)
            or self._countdown(episode, rule, signal)
        )

    def _over(self, episode: Episode, rule: Rule | NoDataRule, signal: Signal | None) -> Row | None:
        if isinstance(rule, NoDataRule):
            seen = self._at.inputs.last_seen.get(episode.server)
            heard = seen is not None and self._at.now - seen < parse_period(rule.silent_for)
            return self._end(episode, f"data again since {at(seen)}") if heard and seen else None
        if signal is None:
            return None
        why = self._at.closing.why(episode, rule, signal, self._at.ended[episode.key])
        return None if why is None else self._end(with_signal(episode, signal), why)

    def _end(self, episode: Episode, why: str, mark: Mark | None = None) -> Row:
        phase = Phase.OVER
        if episode.phase == Phase.PREDICTED:
            phase = Phase.AVERTED if episode.memory.acted else Phase.WITHDRAWN
        if phase == Phase.AVERTED:
            why = f"{episode.memory.acted}, and no breach followed; {why}"
        return self._at.event(
            replace(episode, phase=phase, closes_at=self._at.now), "closed", why,
            episode.memory.sent_to, mark,
        )  # fmt: skip

    def _breach(
        self, episode: Episode, rule: Rule | NoDataRule, signal: Signal | None
    ) -> Row | None:
        started = None if signal is None else signal.breached_at
        if episode.phase != Phase.PREDICTED or started is None or isinstance(rule, NoDataRule):
            return None
        assert signal is not None
        lead = period(self._at.now - episode.memory.opened_at)
        after = f", {lead} after the warning"
        changed = replace(
            with_signal(episode, signal), phase=Phase.BREACHED, breached_at=started, closes_at=None
        )
        why = f"{breached_words(signal)}{after}; {self._at.terms(changed, rule, signal)}"
        return self._at.notified(
            changed, "breached", why, severity_called(rule.breach_severity, "")
        )

    def _noted(self, episode: Episode) -> Row | None:
        mark = self._mark(episode, _NOTED)
        if mark is None:
            return None
        memory = msgspec.structs.replace(episode.memory, marks=(*episode.memory.marks, mark.mark))
        said = _said(mark.kind, mark)
        if mark.kind in _ANSWERS:
            memory = msgspec.structs.replace(memory, answered_by=mark.made_by or "somebody")
        if mark.kind in ACTS:
            memory = msgspec.structs.replace(memory, acted=said)
        changed = replace(episode, memory=memory)
        return self._at.event(changed, mark.kind, said, episode.memory.sent_to, mark)

    def _answered(self, episode: Episode) -> Row | None:
        """An answer to another one of its group, which does not say that this one was acted on.

        Both were in a message when it was given: one that joins later needs an answer of its own.
        """
        sent, noted = episode.memory.notified_at, episode.memory.marks
        mark = next(
            (
                mark for mark in self._at.inputs.marks
                if mark.kind in _ANSWERS and mark.mark not in noted and mark.episode != episode.id
                and sent is not None and sent <= mark.ts
                and self._at.group_of(mark.episode) == episode.group
            ), None,
        )  # fmt: skip
        if mark is None:
            return None
        memory = msgspec.structs.replace(
            episode.memory, marks=(*noted, mark.mark), answered_by=mark.made_by or "somebody"
        )
        said = f"{_said('acknowledged', mark)}, with others of its group"
        changed = replace(episode, memory=memory)
        return self._at.event(changed, "acknowledged", said, memory.sent_to, mark)

    def _rebooted(self, episode: Episode) -> Row | None:
        boot = self._at.inputs.reboots.get(episode.server)
        if boot is None or boot < episode.memory.opened_at or episode.memory.acted:
            return None
        said = f"rebooted at {at(boot)}"
        memory = msgspec.structs.replace(episode.memory, acted=said)
        return self._at.event(
            replace(episode, memory=memory), "reboot", said, episode.memory.sent_to
        )

    def _raised(
        self, episode: Episode, rule: Rule | NoDataRule, signal: Signal | None
    ) -> Row | None:
        if signal is None or not signal.pages or isinstance(rule, NoDataRule):
            return None
        severity = severity_called(rule.page_severity, "")
        if severity.rank <= SEVERITY_BY_NAME[episode.severity].rank:
            return None
        changed = with_signal(episode, signal)
        why = f"the odds rose: {odds_words(signal.p, signal.lead_minutes)}"
        return self._at.notified(changed, "changed", why, severity)

    def _unmuted(self, episode: Episode) -> Row | None:
        muted = episode.memory.muted
        if muted is None or self._at.muting.reason(episode) is not None:
            return None
        why = f"no longer muted by {muted}: it is still open"
        memory = msgspec.structs.replace(episode.memory, muted=None, silent_arm=False)
        severity = SEVERITY_BY_NAME[episode.severity]
        changed = replace(episode, memory=memory)
        return self._at.notified(changed, "unsilenced", why, severity, anew=True)

    def _escalated(self, episode: Episode) -> Row | None:
        memory, severity = episode.memory, SEVERITY_BY_NAME[episode.severity]
        ladder = self._at.book.routes.ladder(severity.slug)
        number = episode.escalation + 1
        if memory.answered_by or memory.notified_at is None or number >= len(ladder):
            return None
        after, channels = ladder[number]
        if self._at.now < memory.notified_at + after or self._at.muting.reason(episode) is not None:
            return None
        sent = tuple(dict.fromkeys((*memory.sent_to, *channels)))
        changed = replace(
            episode, escalation=number, memory=msgspec.structs.replace(memory, sent_to=sent)
        )
        waited = period(self._at.now - memory.notified_at)
        return self._at.event(changed, "escalated", f"nobody has answered for {waited}", channels)

    def _caused(self, episode: Episode, rule: Rule | NoDataRule) -> Row | None:
        cause = None if episode.caused_by else self._at.cause(episode.server, episode.id)
        if cause is None:
            return None
        changed = replace(episode, caused_by=cause.id)
        if "cascade" in rule.group_by:
            changed = replace(changed, group_key=cascade_key(cause))
        why = f"it follows {label(cause.metric)} of {cause.server}"
        return self._at.event(changed, "caused", why)

    def _countdown(
        self, episode: Episode, rule: Rule | NoDataRule, signal: Signal | None
    ) -> Row | None:
        """An event when it begins to be quiet enough to close, or ceases to be."""
        if signal is None or isinstance(rule, NoDataRule):
            return None
        ended = self._at.ended[episode.key]
        closes_at = self._at.closing.closes_at(episode, rule, signal, ended)
        if (closes_at is None) == (episode.closes_at is None):
            return None
        changed = replace(with_signal(episode, signal), closes_at=closes_at)
        why = f"closes at {at(closes_at)} if nothing changes" if closes_at else (
            f"no longer about to close: {self._at.terms(changed, rule, signal)}"
        )  # fmt: skip
        return self._at.event(changed, "changed", why)

    def _mark(self, episode: Episode, kinds: Sequence[str]) -> Mark | None:
        """The first mark of these kinds about an episode that it has not taken note of."""
        noted = episode.memory.marks
        return next(
            (
                mark for mark in self._at.inputs.marks
                if mark.kind in kinds and mark.mark not in noted and concerns(mark, episode)
                and (mark.episode is not None or self._is_within(mark, episode))
            ), None,
        )  # fmt: skip

    def _is_within(self, mark: Mark, episode: Episode) -> bool:
        """Return True for a mark that began while the episode was open; before, it is a cause."""
        return episode.memory.opened_at <= (mark.starts_at or mark.ts) <= self._at.now

    def _is_covered(self, episode: Episode, rule: Rule | NoDataRule) -> bool:
        known = ServerFacts(episode.server, episode.profile, episode.site)
        if not rule.covers(self._at.inputs.servers.get(episode.server, known)):
            return False
        return isinstance(rule, NoDataRule) or matches(episode.metric or "", rule.metrics)


def _said(verb: str, mark: Mark) -> str:
    words = {"acting": "somebody acts on it", "acknowledged": "acknowledged"}.get(verb, verb)
    by = f" ({mark.made_by})" if mark.made_by else ""
    note = f": {mark.note}" if mark.note else ""
    return f"{words}{by} at {at(mark.ts)}{note}"
