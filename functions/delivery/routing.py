"""Routing: which messages an event of an episode makes, given those that exist already.

One key is one episode at one level on one channel, and is one notification. A level is a slug of
severity or a step of escalation; only a level above all earlier ones of the episode on that channel
opens another key, and replaces the one before it. Better news edits what was sent.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from functions.delivery.message import CLOSED
from storage.config.channel_settings import ChannelSettings
from storage.model.severity import SEVERITY_BY_NAME

__all__ = ["ACTIONS", "DeliveryKey", "EpisodeEvent", "Order", "route"]

ACTIONS = ("open", "update", "acknowledge", "resolve")
ACKNOWLEDGING = ("acknowledged", "acting")


class EpisodeEvent(msgspec.Struct, frozen=True):
    """What routing reads of a row of `alert_events`."""

    episode: str
    ts: datetime
    event: str
    phase: str
    severity: str | None = None
    escalation: int | None = None
    channels: str | None = None

    @property
    def is_closing(self) -> bool:
        """True if the episode ends with it."""
        return self.phase in CLOSED

    @property
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


@dataclass(frozen=True, slots=True)
class DeliveryKey:
    """One episode at one level on one channel.

    `state` is queued until its opening message went, then open; closed when its resolve went,
    refused when the receiver refused its opening message, and unknown where the settings do not
    have the channel. `phase` is that of its last message.
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


@dataclass(frozen=True, slots=True)
class Order:
    """One message to send; a `drop` is the reason why it is recorded and not sent."""

    action: str
    delivery: str
    level: str
    channel: str
    drop: str | None = None


def route(
    event: EpisodeEvent, keys: Sequence[DeliveryKey], channels: Mapping[str, ChannelSettings]
) -> list[Order]:
    """Return the messages that `event` makes; `keys` are those of its episode, oldest first."""
    live = [key for key in keys if key.is_live]
    if event.is_closing:
        return [_order("resolve", key) for key in live]
    if event.event in ACKNOWLEDGING:
        return [_order("acknowledge", key) for key in live if _takes_acknowledge(key, channels)]
    if not event.channel_names:
        return []
    orders = [order for name in event.channel_names for order in _open(event, name, keys, channels)]
    renewed = {order.channel for order in orders}
    others = [key for key in live if key.channel not in renewed]
    return orders + list(_updates(event, others, channels))


def _order(action: str, key: DeliveryKey, drop: str | None = None) -> Order:
    return Order(action, key.delivery, key.level, key.channel, drop)


def _open(
    event: EpisodeEvent,
    channel: str,
    keys: Sequence[DeliveryKey],
    channels: Mapping[str, ChannelSettings],
) -> Iterator[Order]:
    earlier = [key for key in keys if key.channel == channel and key.state != "unknown"]
    if not _is_above(event, earlier):
        return
    level = event.level
    opening = Order("open", f"{event.episode}/{level}/{channel}", level, channel)
    yield opening
    settings = channels.get(channel)
    why = f"the message of level {level} replaces it"
    for key in earlier:
        if key.is_live:
            keeps_state = settings is not None and settings.keeps_state
            yield _order("resolve", key, None if keeps_state else why)


def _is_above(event: EpisodeEvent, earlier: Iterable[DeliveryKey]) -> bool:
    """Return True if the level of `event` is above those of all these keys."""
    earlier = list(earlier)
    if all(event.rank > key.rank for key in earlier):
        return True
    steps = [key.escalation for key in earlier if key.rank >= event.rank]
    return (event.escalation or 0) > max(steps, default=-1)


def _updates(
    event: EpisodeEvent, keys: Iterable[DeliveryKey], channels: Mapping[str, ChannelSettings]
) -> Iterator[Order]:
    """Yield an update for each key whose receiver edits, or whose phase is another one now."""
    for key in keys:
        settings = channels.get(key.channel)
        if settings is None:
            continue
        # After the loss of an outbox nobody knows the phase that was sent last.
        changed = bool(key.phase) and key.phase != event.phase
        if settings.edits or changed:
            yield _order("update", key)


def _takes_acknowledge(key: DeliveryKey, channels: Mapping[str, ChannelSettings]) -> bool:
    settings = channels.get(key.channel)
    return settings is not None and settings.keeps_state
