"""Grouping: the events of one time as those of groups, and the one message of a group."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from functions.delivery.message import Message
from functions.delivery.message_context import MessageContext
from functions.delivery.routing import EpisodeEvent, GroupEvent
from functions.engine.window import Window

__all__ = ["Group", "event_of", "groups_of"]

Row = Mapping[str, Any]

MOST_SHOWN = 9  # beside the worst one

_MEMBERS = """
SELECT * FROM alert_events
WHERE ts <= $now AND list_contains($groups, coalesce(group_id, episode)) ORDER BY ts, event
"""


@dataclass(frozen=True, slots=True)
class Group:
    """What happened to a group at one time, and the newest row of each of its episodes."""

    happened: GroupEvent
    rows: tuple[Row, ...]

    def rows_for(self, channel: str) -> list[Row]:
        """Return the rows of the episodes that a channel hears of, the worst first."""
        pairs = zip(self.happened.members, self.rows, strict=True)
        return sorted((row for member, row in pairs if member.is_sent_to(channel)), key=_badness)

    def worst(self, channel: str) -> Row:
        """Return the row that a message to a channel is about."""
        return next(iter(self.rows_for(channel)), self.rows[0])

    def answerable(self, channel: str) -> str:
        """Return the newest episode that waits for an answer: the one-time link is for that."""
        episodes = {row["episode"] for row in self.rows_for(channel)}
        waiting = [m for m in self.happened.members if m.episode in episodes and not m.is_closing]
        waiting = [m for m in waiting if not m.is_answered] or waiting
        newest = max(waiting, key=lambda m: (m.ts, m.episode), default=None)
        return newest.episode if newest else str(self.worst(channel)["episode"])

    def message(self, context: MessageContext, channel: str) -> Message:
        """Return the message to a channel, without its one-time link."""
        worst, *others = self.rows_for(channel) or [self.rows[0]]
        still_open = [row for row in others if not event_of(row).is_closing]
        message = context.message({**worst, "ts": self.happened.ts})
        return msgspec.structs.replace(
            message,
            companions=tuple(context.companion(row) for row in still_open[:MOST_SHOWN]),
            others=len(still_open),
            ended=len(others) - len(still_open),
        )


def _badness(row: Row) -> tuple[Any, ...]:
    """Return the order of episodes: open before ended, then by level, breach and runway."""
    event = event_of(row)
    far = datetime.max.replace(tzinfo=row["ts"].tzinfo)
    return (
        event.is_closing, -event.rank, row["phase"] != "breached",
        row["breached_at"] or row["likely"] or far, row["server"] or "", row["episode"],
    )  # fmt: skip


def event_of(row: Row) -> EpisodeEvent:
    """Return what routing reads of a row of `alert_events`."""
    return EpisodeEvent(**{name: row[name] for name in EpisodeEvent.__struct_fields__})


def groups_of(window: Window, rows: Iterable[Row]) -> list[Group]:
    """Return the groups of rows of `alert_events` at each of their times, oldest first."""
    happened: dict[tuple[datetime, str], list[EpisodeEvent]] = defaultdict(list)
    for row in rows:
        event = event_of(row)
        happened[event.ts, event.group].append(event)
    if not happened:
        return []
    names = sorted({group for _, group in happened})
    known = window.sql(_MEMBERS, now=window.now, groups=names).to_pylist()
    of_group: dict[str, list[Row]] = defaultdict(list)
    for row in known:
        of_group[row["group_id"] or row["episode"]].append(row)
    return [
        _group(events, of_group[group], ts)
        for (ts, group), events in sorted(happened.items(), key=lambda item: item[0])
    ]


def _group(events: Sequence[EpisodeEvent], rows: Sequence[Row], until: datetime) -> Group:
    newest = {row["episode"]: row for row in rows if row["ts"] <= until}
    members = tuple(map(event_of, newest.values()))
    return Group(GroupEvent(tuple(events), members), tuple(newest.values()))
