"""Openings: the episodes that begin at one time, by odds, by a breach or by silence."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from functions.rules.alerts.episode import Episode, Memory, Phase, episode_id
from functions.rules.alerts.muting import in_silent_arm
from functions.rules.alerts.rule import NoDataRule, Rule, ServerFacts, severity_called
from functions.rules.alerts.signals import Signal
from functions.rules.alerts.step_context import Row, StepContext, with_signal
from functions.rules.alerts.words import at, breached_words, label, period, warning_words
from storage.model.periods import parse_period
from storage.model.severity import WARNING, Severity

__all__ = ["HEARD_WITHIN", "openings"]

# A server that was last heard of before that has left: nobody waits for it.
HEARD_WITHIN = timedelta(days=1)
_MANY = 3  # silent servers, from which on it is said how many there are


def openings(context: StepContext) -> Iterator[Row]:
    """Yield the first events of the episodes that begin now; one that was ended stays so."""
    for row in _openings(context):
        if not context.knows(row["episode"]):
            yield row


def _openings(context: StepContext) -> Iterator[Row]:
    for key, signal in context.signals.items():
        rule = context.book.by_name.get(key[0])
        if key not in context.open and isinstance(rule, Rule):
            yield from _of_signal(context, rule, signal)
    for each in context.book.by_name.values():
        if isinstance(each, NoDataRule):
            yield from _of_silence(context, each)


def _of_signal(context: StepContext, rule: Rule, signal: Signal) -> Iterator[Row]:
    ended = context.ended[rule.name, signal.server, signal.metric]
    last = ended[-1] if ended else None
    if signal.breached_at is not None:
        if last is None or not context.closing.was_part(last, signal, rule):
            yield _opening(context, rule, signal, last)
    elif signal.warns and not context.closing.is_quiet(rule, ended):
        yield _opening(context, rule, signal, last)


def _opening(context: StepContext, rule: Rule, signal: Signal, last: Episode | None) -> Row:
    opened_at = signal.breached_at or signal.issued_at or context.now
    if signal.breached_at is not None:
        phase, slug, words = Phase.BREACHED, rule.breach_severity, breached_words(signal)
    else:
        slug = rule.page_severity if signal.pages else rule.severity
        phase, words = Phase.PREDICTED, warning_words(signal)
    again = last is not None and context.closing.soon_after(last)
    episode = _new(context, rule, signal.server, signal.metric, phase, opened_at, again)
    episode = with_signal(replace(episode, breached_at=signal.breached_at), signal)
    why = f"{words}; {context.terms(episode, rule, signal)}"
    if again and last is not None:
        why = f"again, {period(context.now - last.ts)} after the last episode ended: {why}"
    return _first_event(context, episode, why, severity_called(slug, ""))


def _of_silence(context: StepContext, rule: NoDataRule) -> Iterator[Row]:
    silent = _silent_servers(context, rule)
    fleet = len(context.inputs.last_seen)
    many = len(silent) >= _MANY and 2 * len(silent) > fleet
    first = next(
        (e for e in context.open.values() if e.rule == rule.name and e.caused_by is None), None
    )
    for server, seen in silent.items():
        if (rule.name, server, None) in context.open:
            continue
        why = f"no data since {at(seen)}; it closes when data come again"
        if many:
            why = f"{why} ({len(silent)} of {fleet} servers are silent: check their source)"
        episode = _silent_episode(context, rule, server, seen, first if many else None)
        if first is None:
            first = episode
            context.is_first(episode)
        yield _first_event(context, episode, why, severity_called(rule.severity, ""))


def _silent_episode(
    context: StepContext, rule: NoDataRule, server: str, seen: datetime, first: Episode | None
) -> Episode:
    """Return an episode of missing data; where many are silent they follow from the first."""
    episode = _new(context, rule, server, None, Phase.NO_DATA, seen, False)
    still = [e for e in context.at_server[server] if e.metric is not None]
    waiting = tuple(f"{label(e.metric)} stays {e.phase}" for e in still)
    belief = tuple(context.inputs.beliefs.get(server, ()))
    cause = episode.caused_by or (first.id if first else None)
    return replace(episode, reasons=(*belief, *waiting), caused_by=cause)


def _silent_servers(context: StepContext, rule: NoDataRule) -> Mapping[str, datetime]:
    limit, servers = parse_period(rule.silent_for), context.inputs.servers
    since = context.inputs.collecting_since
    if since is not None and context.now - since < limit:
        return {}  # after a start the sources have so much time to catch up
    return {
        server: seen
        for server, seen in context.inputs.last_seen.items()
        if limit <= context.now - seen <= HEARD_WITHIN
        and rule.covers(servers.get(server, ServerFacts(server)))
    }


def _new(
    context: StepContext,
    rule: Rule | NoDataRule,
    server: str,
    metric: str | None,
    phase: Phase,
    opened_at: datetime,
    again: bool,
) -> Episode:
    facts = context.inputs.servers.get(server, ServerFacts(server))
    memory = Memory(opened_at=opened_at, again=again)
    ident = episode_id(rule.name, server, metric, phase, opened_at)
    cause = context.cause(server, ident)
    episode = Episode(
        id=ident, ts=context.now, phase=phase, server=server, metric=metric, rule=rule.name,
        severity=WARNING.name, escalation=0, memory=memory, profile=facts.profile,
        site=facts.site, caused_by=cause.id if cause else None,
    )  # fmt: skip
    return context.grouped(episode, rule.group_by, cause)


def _first_event(context: StepContext, episode: Episode, why: str, severity: Severity) -> Row:
    low = severity.rank <= WARNING.rank and episode.phase == Phase.PREDICTED
    arm = low and in_silent_arm(episode.id, context.book.silent_share)
    memory = msgspec.structs.replace(episode.memory, silent_arm=arm)
    changed = replace(episode, memory=memory)
    return context.notified(changed, "opened", why, severity, anew=True)
