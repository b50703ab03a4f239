"""Muting: why nobody is notified of an episode now, such as a silence or a maintenance window."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from functions.rules.alerts.episode import Episode, Mark, Phase
from functions.rules.alerts.maintenance import Maintenance, Occurrence, in_maintenance
from functions.rules.alerts.rule import ServerFacts, matches
from functions.rules.alerts.words import at
from storage.model.severity import SEVERITY_BY_NAME, WARNING

__all__ = ["SILENT_ARM", "Muting", "concerns", "in_silent_arm"]

SILENT_ARM = "the silent arm: recorded, and not sent"
_HASH_BITS = 32


class Muting:
    """What mutes episodes at one time; `silent` has servers without data by their episodes."""

    def __init__(
        self,
        windows: tuple[Maintenance, ...],
        marks: Iterable[Mark],
        silent: Mapping[str, str],
        now: datetime,
    ) -> None:
        self._silent = silent
        self._windows: list[tuple[Maintenance, Occurrence]] = in_maintenance(windows, now)
        self._silences = active_silences(marks, now)

    def reason(self, episode: Episode) -> str | None:
        """Return why nobody is notified of an episode, in words; None: somebody is."""
        facts = ServerFacts(episode.server, episode.profile, episode.site)
        for window, occurrence in self._windows:
            if window.covers(facts):
                return f"maintenance window {window.name!r} until {at(occurrence.end)}"
        for mark in self._silences:
            if concerns(mark, episode):
                until = f" until {at(mark.ends_at)}" if mark.ends_at else ""
                note = f" ({mark.note})" if mark.note else ""
                return f"silenced by {mark.made_by or 'somebody'}{until}{note}"
        first = self._silent.get(episode.caused_by or "")
        if episode.phase == Phase.NO_DATA and first is not None:
            return f"told with that of {first}"
        quiet = (
            episode.memory.silent_arm and SEVERITY_BY_NAME[episode.severity].rank <= WARNING.rank
        )
        return SILENT_ARM if quiet and episode.breached_at is None else None


def active_silences(marks: Iterable[Mark], now: datetime) -> list[Mark]:
    """Return the silences that hold at `now`: begun, not over, and not ended by an unsilence."""
    by_time = sorted(marks, key=lambda mark: mark.ts)
    active: list[Mark] = []
    for mark in by_time:
        if mark.kind == "unsilence" and mark.ts <= now:
            active = [each for each in active if _target(each) != _target(mark)]
        elif mark.kind == "silence" and (mark.starts_at or mark.ts) <= now:
            active += [mark] if mark.ends_at is None or now < mark.ends_at else []
    return active


def _target(mark: Mark) -> Sequence[str | None]:
    return (mark.server, mark.pattern, mark.metric, mark.episode)


def concerns(mark: Mark, episode: Episode) -> bool:
    """Return True if a mark is about an episode: by its id, or by its server and metric."""
    if mark.episode is not None:
        return mark.episode == episode.id
    if mark.metric is not None and mark.metric != episode.metric:
        return False
    if mark.server is not None:
        return mark.server == episode.server
    return mark.pattern is not None and matches(episode.server, (mark.pattern,))


def in_silent_arm(episode: str, share: float) -> bool:
    """Return True for `share` of all episodes, always the same ones, by their ids."""
    return int(episode[: _HASH_BITS // 4], 16) < share * float(1 << _HASH_BITS)
