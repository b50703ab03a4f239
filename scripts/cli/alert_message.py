"""`hoursight alerts send`: the message of an episode to a channel, shown or sent."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from functions.delivery.channel_factory import open_channel
from functions.delivery.dispatch import SendOutcome
from functions.delivery.outbox import Outbox
from functions.engine.window import Window
from functions.message_preview import newest_dispatch
from scripts.cli.alert_list import episode_called
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.errors import HoursightError
from storage.query.reader import Reader

__all__ = ["ChannelUnknown", "send_message"]

Print = Callable[[str], None]


class ChannelUnknown(HoursightError):
    """The settings have no such channel; the message lists those that they have."""


def send_message(data: Path, episode: str, channel: str, say: Print, *, dry_run: bool) -> bool:
    """Print the newest message of an episode to a channel as it is sent, or send it again now.

    `episode` is the beginning of its id. What is sent again has the key of the message that was
    sent. Returns True if it was taken. Raises UnknownEpisode, ChannelUnknown and ChannelUnusable.
    """
    settings, now = read_settings(data), datetime.now(UTC)
    if channel not in settings.channels:
        known = ", ".join(sorted(settings.channels)) or "none"
        raise ChannelUnknown(
            f"the settings have no channel {channel!r}; there are: {known}",
            "add it to hoursight.toml as docs/loop.md shows",
        )
    with closing(Reader.open(data)) as reader:
        window = Window(reader, now)
        dispatch = newest_dispatch(window, episode_called(data, episode), channel)
    with closing(open_channel(channel, settings.channels[channel])) as opened:
        if dry_run:
            for line in opened.preview(dispatch, now).splitlines():
                say(line)
            return True
        answer = opened.send(dispatch, now)
    if answer.outcome is SendOutcome.SENT and dispatch.action == "open":
        with Outbox(Folders.at(data)) as outbox:
            outbox.note_sent_by_hand(dispatch, answer, now)
    say(f"{channel}: {answer.outcome.value}{f': {answer.detail}' if answer.detail else ''}")
    return answer.outcome is SendOutcome.SENT
