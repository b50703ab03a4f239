"""Routing: which messages a group of episodes makes at one time, given those that exist already.

Episodes of one group are one message on each channel; an episode alone is a group of one. A key is
one group at one level on one channel, and is one notification. A level is a slug of severity or a
step of escalation; only a level above those that are open, and above all earlier ones of the same
episode, opens another key, and replaces the one before it. Better news edits what was sent.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import msgspec

from functions.delivery.message import CLOSED
from functions.rules.alerts.episode import Memory
from storage.config.channel_settings import ChannelSettings
from storage.model.severity import SEVERITY_BY_NAME

__all__ = ["ACTIONS", "DeliveryKey", "EpisodeEvent", "GroupEvent", "Order", "route"]

ACTIONS = ("open", "update", "acknowledge", "resolve")
ACKNOWLEDGING = ("acknowledged", "acting")
# Of open episodes the one that is furthest gives the phase of their message.
PHASES = ("no data", "predicted", "breached")


class EpisodeEvent(msgspec.Struct, frozen=True, dict=True):
    """What routing reads of a row of `alert_events`."""

    episode: str
    ts: datetime
    event: str
    phase: str
    severity: str | None = None
    escalation: int | None = None
    channels: str | None = None
    group_id: str | None = None
    state: str | None = None

    @property
    def group(self) -> str:
        """The episode under whose id its messages are sent."""
        return self.group_id or self.episode

    @property
    def is_closing(self) -> bool:
        """True if the episode ends with it."""
        return self.phase in CLOSED

    @cached_property
    def channel_names(self) -> list[str]:
        """The channels that it names, each once."""
        names = (name.strip() for name in (self.channels or "").split(","))
        return list(dict.fromkeys(filter(None, names)))

    @property
    def level(self) -> str:
        """The level that it opens: a severity, or a step of its escalation."""
        severity = SEVERITY_BY_NAME.get(self.severity or "")
        slug = severity.slug if severity else self.severity or self.phase
        return f"{slug} step {self.escalation}" if self.escalation else slug

    @property
    def rank(self) -> float:
        """Rank of its severity; −1 without one."""
        severity = SEVERITY_BY_NAME.get(self.severity or "")
        return severity.rank if severity else -1.0

    @property
    def is_acknowledging(self) -> bool:
        """True if somebody answered with it."""
        return self.event in ACKNOWLEDGING

    @property
    def is_answered(self) -> bool:
        """True if somebody has answered; of an event without a state, with this one."""
        memory = self._memory
        return self.is_acknowledging if memory is None else memory.answered_by is not None

    def is_sent_to(self, channel: str) -> bool:
        """Return True if a channel hears of the episode; of one without a state all do."""
        memory = self._memory
        return memory is None or channel in memory.sent_to or channel in self.channel_names

    @cached_property
    def _memory(self) -> Memory | None:
        return msgspec.json.decode(self.state, type=Memory) if self.state else None


@dataclass(frozen=True, slots=True)
class GroupEvent:
    """What happened to a group at one time.

    `events` are of that time, at least one; `members` are the newest of each of its episodes.
    """

    events: tuple[EpisodeEvent, ...]
    members: tuple[EpisodeEvent, ...]

    @classmethod
    def alone(cls, event: EpisodeEvent) -> "GroupEvent":
        """Return the event of an episode that is a group of its own."""
        return cls((event,), (event,))

    @property
    def group(self) -> str:
        """The episode under whose id its messages are sent."""
        return self.events[0].group

    @property
    def ts(self) -> datetime:
        """When it happened."""
        return self.events[0].ts


@dataclass(frozen=True, slots=True)
class DeliveryKey:
    """One group at one level on one channel; `delivery` begins with the episode that opened it.

    `state` is queued until its opening message went, then open; closed when its resolve went,
    refused when the receiver refused its opening message, and unknown where the settings do not
    have the channel. `phase` is that of its last message, with the number of open episodes.
    """

    delivery: str
    episode: str
    level: str
    channel: str
    rank: float
    escalation: int
    state: str
    phase: str

    @property
    def is_live(self) -> bool:
        """True if its messages may still change."""
        return self.state in ("queued", "open")

    def is_of(self, episode: str) -> bool:
        """Return True if this episode has opened it."""
        return self.delivery.startswith(f"{episode}/")


@dataclass(frozen=True, slots=True)
class Order:
    """One message to send; a `drop` is the reason why it is recorded and not sent.

    `phase` is that of the group, with the number of open episodes. One that `can_wait` says no
    more than who joined or left, to a receiver that cannot edit.
    """

    action: str
    delivery: str
    level: str
    channel: str
    drop: str | None = None
    phase: str = ""
    rank: float = -1.0
    escalation: int = 0
    can_wait: bool = False


def route(
    happened: GroupEvent, keys: Sequence[DeliveryKey], channels: Mapping[str, ChannelSettings]
) -> list[Order]:
    """Return the messages that a group makes; `keys` are those of the group, oldest first."""
    named = [name for event in happened.events for name in event.channel_names]
    live = [key.channel for key in keys if key.is_live]
    return [
        order
        for name in dict.fromkeys([*named, *live])
        for order in _of_channel(
            happened, name, [key for key in keys if key.channel == name], channels.get(name)
        )
    ]


def _of_channel(
    happened: GroupEvent, name: str, keys: Sequence[DeliveryKey], settings: ChannelSettings | None
) -> Iterator[Order]:
    """Yield the messages to one channel, which hears of some of the episodes."""
    events = [event for event in happened.events if event.is_sent_to(name)]
    members = [member for member in happened.members if member.is_sent_to(name)]
    live = [key for key in keys if key.is_live]
    still_open = [member for member in members if not member.is_closing]
    if not events:
        return
    phase = _phase(still_open or members)
    if not still_open:
        yield from (_order("resolve", key, phase) for key in live)
        return
    if all(member.is_answered for member in still_open):
        if settings is not None and settings.keeps_state and any(map(_answers, events)):
            yield from (_order("acknowledge", key, phase) for key in live)
        events = [event for event in events if not event.is_acknowledging]
    top = max(
        (event for event in events if name in event.channel_names and _may_open(event)),
        key=lambda event: (event.rank, event.escalation or 0), default=None,
    )  # fmt: skip
    if top is not None and _is_above(top, keys):
        yield from _open(top, name, live, settings, phase)
    elif settings is not None and any(e.channel_names or e.is_closing for e in events):
        yield from _updates(live, settings, phase)


def _answers(event: EpisodeEvent) -> bool:
    return event.is_acknowledging


def _may_open(event: EpisodeEvent) -> bool:
    return not (event.is_closing or event.is_acknowledging)


def _phase(members: Sequence[EpisodeEvent]) -> str:
    """Return the phase of a message, and of how many episodes it tells where these are several."""
    phase = max((m.phase for m in members), key=lambda p: PHASES.index(p) if p in PHASES else -1)
    return phase if len(members) == 1 else f"{phase}, {len(members)}"


def _order(action: str, key: DeliveryKey, phase: str, drop: str | None = None) -> Order:
    return Order(action, key.delivery, key.level, key.channel, drop, phase)


def _open(
    event: EpisodeEvent,
    channel: str,
    live: Iterable[DeliveryKey],
    settings: ChannelSettings | None,
    phase: str,
) -> Iterator[Order]:
    level = event.level
    yield Order(
        "open", f"{event.episode}/{level}/{channel}", level, channel, phase=phase,
        rank=event.rank, escalation=event.escalation or 0,
    )  # fmt: skip
    keeps_state = settings is not None and settings.keeps_state
    why = None if keeps_state else f"the message of level {level} replaces it"
    yield from (_order("resolve", key, phase, why) for key in live)


def _is_above(event: EpisodeEvent, keys: Iterable[DeliveryKey]) -> bool:
    """Return True if no key of these covers the level of `event`.

    A key that is over covers its own episode only: nobody was notified of those that came later.
    """
    earlier = [
        key for key in keys
        if key.state != "unknown" and (key.is_live or key.is_of(event.episode))
    ]  # fmt: skip
    if all(event.rank > key.rank for key in earlier):
        return True
    steps = [key.escalation for key in earlier if key.rank >= event.rank]
    return (event.escalation or 0) > max(steps, default=-1)


def _updates(keys: Iterable[DeliveryKey], settings: ChannelSettings, phase: str) -> Iterator[Order]:
    """Yield an update for each key whose receiver edits, or whose phase is another one now."""
    for key in keys:
        # After the loss of an outbox nobody knows the phase that was sent last.
        changed = bool(key.phase) and key.phase != phase
        if settings.edits or changed:
            joined = not settings.edits and _words(key.phase) == _words(phase)
            yield Order(
                "update", key.delivery, key.level, key.channel, phase=phase, can_wait=joined
            )


def _words(phase: str) -> str:
    return phase.partition(",")[0]
