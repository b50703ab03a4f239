"""Messages of an episode: what was or would be sent to a channel, and its exact bytes."""

from contextlib import closing
from typing import Any

import msgspec

from functions.deliver import message_to
from functions.delivery.channel_factory import open_channel
from functions.delivery.dispatch import ChannelUnusable, Dispatch
from functions.delivery.grouping import event_of
from functions.delivery.outbox import Outbox
from functions.engine.function import Batch, function
from functions.engine.triggers import request
from functions.engine.window import Window
from functions.normalize.strict_toml import SourceInvalid, decode_strict
from storage.config.settings import settings_in_force

__all__ = ["message_preview", "newest_dispatch"]

_NEWEST = "SELECT * FROM alert_events WHERE episode = $episode ORDER BY ts DESC LIMIT 1"


class PreviewRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which message: the id of the episode, and the name of the channel."""

    episode: str
    channel: str


@function(on=request(), writes=())
def message_preview(window: Window, body: Any) -> Batch:
    """Answer with the newest message of an episode to a channel as it is sent, secrets masked.

    `body` has `episode` and `channel`; the answer has `text`. Nothing is sent.
    """
    try:
        wanted: PreviewRequest = decode_strict(body if body is not None else {}, PreviewRequest)
        return Batch(answer={"text": _preview(window, wanted)})
    except (SourceInvalid, ChannelUnusable, LookupError) as error:
        return Batch(refused=1, reasons=(str(error.args[0] if error.args else error),))


def _preview(window: Window, wanted: PreviewRequest) -> str:
    channels = settings_in_force(window.reader.folders.data).channels
    if wanted.channel not in channels:
        known = ", ".join(sorted(channels)) or "none"
        raise LookupError(f"the settings have no channel {wanted.channel!r}; there are: {known}")
    dispatch = newest_dispatch(window, wanted.episode, wanted.channel)
    with closing(open_channel(wanted.channel, channels[wanted.channel])) as channel:
        return channel.preview(dispatch, window.now)


def newest_dispatch(window: Window, episode: str, channel: str) -> Dispatch:
    """Return what was sent last, else what would open the episode at this channel now.

    Raises LookupError for an episode that is not known.
    """
    rows = window.sql(_NEWEST, episode=episode).to_pylist()
    if not rows:
        raise LookupError(f"there is no episode {episode!r}")
    event, folders = event_of(rows[0]), window.reader.folders
    if folders.outbox.exists():
        with Outbox(folders) as outbox:
            if (sent := outbox.newest(event.group, channel)) is not None:
                return sent
    message = message_to(window, rows[0], channel)
    action = "resolve" if message.is_closed else "open"
    delivery = f"{event.episode}/{event.level}/{channel}"
    return Dispatch(delivery, event.group, event.level, action, channel, message, message)
