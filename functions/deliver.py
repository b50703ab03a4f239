"""Deliveries: queues the messages of new alert events, and mirrors what came of earlier ones.

The messages are sent by the delivery threads; this function never waits for a receiver.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

from functions.delivery.fleet_liveness import count_fleet, judge
from functions.delivery.grouping import Group, event_of, groups_of
from functions.delivery.heartbeat_thread import note_liveness
from functions.delivery.message import Message
from functions.delivery.message_context import MessageContext, read_context
from functions.delivery.message_renewal import newest_odds, renewed_group
from functions.delivery.outbox import Outbox
from functions.delivery.routing import Order
from functions.engine.function import Batch, function
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from storage.config.settings import Settings, schema_of, settings_in_force
from storage.config.signed_links import SignedLinks
from storage.model.schema import table

# Events that are older when they are first seen make no messages: nobody waits for them.
OLDEST_EVENT = timedelta(hours=24)
# Commits may come in another order than events.
OVERLAP = timedelta(minutes=15)
MAX_EVENTS, MAX_OUTCOMES = 200, 5000

_SENT = """
SELECT delivery, episode, level, channel, kind, action, outcome, receipt FROM deliveries
WHERE ts > $since AND outcome IN ('sent', 'refused', 'dropped') ORDER BY ts
"""
_EVENTS = "SELECT * FROM alert_events WHERE ts > $since AND ts <= $now ORDER BY ts, episode"


@function(on=(rows("alert_events"), every("1m")), writes="deliveries")
def deliver(window: Window, cursor: str | None) -> Batch:
    """Queue a message for each new event and channel, and return what came of earlier messages."""
    folders = window.reader.folders
    settings = settings_in_force(folders.data)
    with Outbox(folders) as outbox:
        if outbox.is_new:
            since = window.now - timedelta(days=30)
            outbox.seed(window.sql(_SENT, since=since).to_pylist(), window.now)
        new = _new_events(window, outbox) if settings.channels else []
        events = _first_of(new)
        _enqueue(window, outbox, settings, events)
        _renew(window, outbox)
        SignedLinks(folders).forget(window.now)
        if settings.heartbeat.is_set:
            note_liveness(outbox, judge(count_fleet(window)), window.now)
        batch = _outcomes(outbox, cursor, window.now, more=len(events) < len(new))
    return _with_unknown(batch, settings, events)


def _new_events(window: Window, outbox: Outbox) -> list[dict[str, Any]]:
    oldest, newest = window.now - OLDEST_EVENT, outbox.newest_event()
    since = oldest if newest is None else max(oldest, newest - OVERLAP)
    events = window.sql(_EVENTS, since=since, now=window.now).to_pylist()
    return [row for row in events if not outbox.knows(event_of(row))]


def _first_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return MAX_EVENTS of these, and what else is of the last one's time: a group is one event."""
    if len(events) <= MAX_EVENTS:
        return events
    last = events[MAX_EVENTS - 1]["ts"]
    return [row for row in events if row["ts"] <= last]


def _enqueue(
    window: Window, outbox: Outbox, settings: Settings, events: list[dict[str, Any]]
) -> None:
    if not events:
        return
    groups = groups_of(window, events)
    worst = {
        row["episode"]: row
        for group in groups for row in map(group.worst, settings.channels)
    }  # fmt: skip
    context = _context(window, list(worst.values()), settings)
    links = SignedLinks(window.reader.folders)

    def message_of(group: Group, order: Order) -> Message:
        return _with_link(context, group, order.channel, links)

    queued = [(group.happened, partial(message_of, group)) for group in groups]
    outbox.enqueue_all(queued, settings.channels, window.now)


def _renew(window: Window, outbox: Outbox) -> None:
    """Let the messages that are edited say what is known now."""
    messages = outbox.open_messages()
    odds = newest_odds(window, list(messages.values()))
    with outbox.transaction():
        for delivery, message in messages.items():
            new = renewed_group(message, odds)
            if new != message:
                outbox.renew(delivery, new)


def message_to(window: Window, row: Mapping[str, Any], channel: str) -> Message:
    """Return the message to a channel about the group of a row of `alert_events`."""
    folders = window.reader.folders
    group = groups_of(window, [row])[-1]
    context = _context(window, [group.worst(channel)], settings_in_force(folders.data))
    return _with_link(context, group, channel, SignedLinks(folders))


def _context(
    window: Window, events: Sequence[Mapping[str, Any]], settings: Settings
) -> MessageContext:
    metrics = schema_of(window.reader.folders).metrics
    return read_context(window, events, metrics, settings.alerts.public_url)


def _with_link(context: MessageContext, group: Group, channel: str, links: SignedLinks) -> Message:
    """Return the message of a group with the one-time link of its channel."""
    message = group.message(context, channel)
    if not context.public_url or message.is_closed:
        return message
    token = links.token(group.answerable(channel), channel, message.ts)
    url = f"{context.public_url.rstrip('/')}/act/{token}"
    return msgspec.structs.replace(message, act_url=url)


def _with_unknown(batch: Batch, settings: Settings, events: list[dict[str, Any]]) -> Batch:
    """Return the batch with the number of messages to channels that the settings do not have."""
    named = [name for row in events for name in event_of(row).channel_names]
    unknown = [name for name in named if name not in settings.channels]
    if not unknown:
        return batch
    names = ", ".join(sorted(set(unknown)))
    why = f"{len(unknown)} messages to channels that hoursight.toml does not have: {names}"
    return replace(batch, refused=len(unknown), reasons=(why,))


def _outcomes(outbox: Outbox, cursor: str | None, now: datetime, more: bool) -> Batch:
    """Return the outcomes after the cursor, which counts those of this outbox."""
    of, _, number = (cursor or "").partition(" ")
    mirrored = int(number) if of == outbox.id and number.isdigit() else 0
    outbox.prune(mirrored, now)
    made, last = outbox.outcomes_after(mirrored, MAX_OUTCOMES)
    if not made:
        return Batch(more=more)
    deliveries = pa.Table.from_pylist(made, table("deliveries").arrow)
    return Batch({"deliveries": deliveries}, cursor=f"{outbox.id} {last}", more=more)
