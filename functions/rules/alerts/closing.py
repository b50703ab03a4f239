"""Closing: when an episode ends, why in words, and for how long nothing opens after it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from functions.rules.alerts.episode import Episode, Phase
from functions.rules.alerts.rule import Rule, minutes
from functions.rules.alerts.signals import FRESH_MINUTES, Signal
from functions.rules.alerts.words import amount, at, label, lead_words, odds_words, period
from functions.rules.defaults import CLOSE_ODDS, FLAP_MEMORY, LONGEST_QUIET, REOPEN_AFTER
from storage.model.periods import parse_period

__all__ = ["Closing", "longest_close_minutes"]

_HORIZON = timedelta(hours=8)
_LEAST_UNDER_MINUTES = 60.0  # without a forecast


class Closing:
    """Judges at one time whether episodes end."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def why(
        self, episode: Episode, rule: Rule, signal: Signal, ended: Sequence[Episode]
    ) -> str | None:
        """Return why an episode ends now, in words; None: it does not."""
        if signal.breached_at is not None and signal.under_minutes < self._quiet(rule, ended):
            return None
        if episode.phase == Phase.BREACHED:
            return self._over(rule, signal, ended)
        return self._withdrawn(episode, rule, signal, ended)

    def _over(self, rule: Rule, signal: Signal, ended: Sequence[Episode]) -> str | None:
        if signal.under_minutes < self._quiet(rule, ended):
            return None
        quiet = period(timedelta(minutes=signal.under_minutes))
        return (
            f"{label(signal.metric)} at {amount(signal.metric, signal.value)}, clear of "
            f"{amount(signal.metric, signal.threshold)} for {quiet}"
        )

    def _withdrawn(
        self, episode: Episode, rule: Rule, signal: Signal, ended: Sequence[Episode]
    ) -> str | None:
        if not signal.under_minutes:
            return None
        issued = signal.issued_at
        if issued is None or self._now - issued > timedelta(minutes=FRESH_MINUTES):
            return self._unforecast(episode, signal)
        if signal.below_minutes < self._quiet(rule, ended) or signal.below_since is None:
            return None
        peak = odds_words(episode.memory.peak_p, episode.lead_minutes)
        model = (signal.odds_row or {}).get("model")
        other = ", by another model" if model and model != episode.memory.model else ""
        return (
            f"the forecast changed{other}: the odds were up to {peak}, and are under half of what "
            f"opens since {at(signal.below_since)} ({odds_words(signal.p, signal.lead_minutes)} "
            f"now); {label(signal.metric)} is {amount(signal.metric, signal.value)}"
        )

    def _unforecast(self, episode: Episode, signal: Signal) -> str | None:
        """Without a new forecast a warning ends when the time that it spoke of is over."""
        waited = self._now - episode.ts
        if waited < _HORIZON or signal.under_minutes < _LEAST_UNDER_MINUTES:
            return None
        return f"no forecast for {period(waited)}, and its 8 h passed without a breach"

    def closes_at(
        self, episode: Episode, rule: Rule, signal: Signal, ended: Sequence[Episode]
    ) -> datetime | None:
        """Return when an episode closes if nothing changes; None while it would not."""
        quiet = self._quiet(rule, ended)
        so_far = signal.under_minutes if episode.phase == Phase.BREACHED else signal.below_minutes
        return self._now + timedelta(minutes=max(0.0, quiet - so_far)) if so_far else None

    def terms(self, episode: Episode, rule: Rule, checked: bool, ended: Sequence[Episode]) -> str:
        """Return in words when an episode would close."""
        quiet = period(timedelta(minutes=self._quiet(rule, ended)))
        if episode.phase == Phase.BREACHED:
            return f"closes after {quiet} clear of {amount(episode.metric, episode.threshold)}"
        halves = " and ".join(
            f"{100 * CLOSE_ODDS * p:.0f} % within {lead_words(lead)}"
            for lead, p in rule.odds_at(checked).items()
        )
        return f"closes after {quiet} with odds under {halves}"

    def is_quiet(self, rule: Rule, ended: Sequence[Episode]) -> bool:
        """Return True if no warning of this series may open: one ended not long ago."""
        if not ended:
            return False
        quiet = _doubled(rule.reopen_after, self._flaps(ended[:-1]), LONGEST_QUIET)
        return self._now - ended[-1].ts < timedelta(minutes=quiet)

    def was_part(self, last: Episode, signal: Signal, rule: Rule) -> bool:
        """Return True if a run at the level belongs to an episode that has ended."""
        if last.memory.closed_by_hand and self._now - last.ts < parse_period(rule.reopen_after):
            return True
        began = signal.breached_at
        return last.breached_at is not None and began is not None and began <= last.ts

    def soon_after(self, last: Episode) -> bool:
        """Return True within two hours after the end of an episode that was a breach."""
        return last.breached_at is not None and self._now - last.ts < parse_period(REOPEN_AFTER)

    def _quiet(self, rule: Rule, ended: Sequence[Episode]) -> float:
        return _doubled(rule.close_after, self._flaps(ended), REOPEN_AFTER)

    def _flaps(self, ended: Sequence[Episode]) -> int:
        since = self._now - parse_period(FLAP_MEMORY)
        return sum(e.ts >= since and e.came_to_nothing for e in ended)


def _doubled(text: str, flaps: int, longest: str) -> float:
    """Return a period in minutes, doubled for each of `flaps` up to `longest`."""
    first = minutes(text)
    return min(first * 2.0 ** min(flaps, 16), max(first, minutes(longest)))


def longest_close_minutes(rules: Sequence[Rule]) -> float:
    """Return for how long values and odds may have to be quiet before an episode closes."""
    return max(minutes(REOPEN_AFTER), *(minutes(rule.close_after) for rule in rules))
