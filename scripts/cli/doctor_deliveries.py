"""Checks of deliveries: messages that wait or were refused, channels, and the heartbeat."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from functions.delivery.channel_factory import open_channel
from functions.delivery.dispatch import ChannelUnusable
from functions.delivery.heartbeat_thread import ping_state
from functions.delivery.outbox import Outbox
from functions.delivery.outbox_file import OutboxUnusable
from scripts.cli.finding import Finding
from scripts.cli.output import format_time
from storage.config.folders import Folders
from storage.config.settings import Settings

__all__ = ["delivery_findings"]

WAITING_TOO_LONG = timedelta(minutes=10)
REFUSED_WITHIN = timedelta(days=1)


def delivery_findings(folders: Folders, settings: Settings, now: datetime) -> Iterator[Finding]:
    """Yield the finding of each check."""
    try:
        with Outbox(folders) as outbox:
            for name in settings.channels:
                yield _channel(outbox, settings, name, now)
            if settings.heartbeat.is_set:
                yield _heartbeat(outbox, now)
    except OutboxUnusable as error:
        yield Finding("outbox", error.message, error.remedy)


def _channel(outbox: Outbox, settings: Settings, name: str, now: datetime) -> Finding:
    about = f"channel {name}"
    try:
        open_channel(name, settings.channels[name]).close()
    except ChannelUnusable as error:
        return Finding(about, "its settings cannot be used here", str(error))
    waiting = outbox.waiting(name)
    if waiting.count and waiting.since and now - waiting.since > WAITING_TOO_LONG:
        text = f"{waiting.count} messages wait, the oldest since {format_time(waiting.since)}"
        return Finding(about, text, waiting.detail or "start 'hoursight up'")
    refusal = outbox.last_refusal(name, now - REFUSED_WITHIN)
    if refusal is not None:
        text = f"refused a message {format_time(refusal[0])}: {refusal[1]}"
        return Finding(about, text, "mend that, then 'hoursight alerts send EPISODE CHANNEL'")
    return Finding(about, f"{waiting.count} messages wait" if waiting.count else "nothing waits")


def _heartbeat(outbox: Outbox, now: datetime) -> Finding:
    state = ping_state(outbox)
    if (reason := state.withheld(now)) is not None:
        return Finding("heartbeat", "withheld", reason)
    last = f"last sent {format_time(state.pinged_at)}" if state.pinged_at else "not sent yet"
    if state.answer not in (None, "ok"):
        return Finding("heartbeat", f"{last}: {state.answer}", "check url under [heartbeat]")
    assert state.liveness is not None
    return Finding("heartbeat", f"{last}; {state.liveness.why}")
