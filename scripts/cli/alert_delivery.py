"""`hoursight alerts send`: the message of an episode to a channel, shown or sent."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from functions.deliver import message_to
from functions.delivery.channel_factory import open_channel
from functions.delivery.dispatch import Dispatch, Verdict
from functions.delivery.outbox import Outbox
from functions.delivery.routing import EpisodeEvent
from functions.engine.window import Window
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.errors import HoursightError
from storage.query.reader import Reader

__all__ = ["EpisodeUnknown", "send_message"]

Print = Callable[[str], None]

_NEWEST = "SELECT * FROM alert_events WHERE episode = $episode ORDER BY ts DESC LIMIT 1"
_SOME = "SELECT episode FROM alert_events GROUP BY episode ORDER BY max(ts) DESC LIMIT 5"


class EpisodeUnknown(HoursightError):
    """There is no such episode or channel; the message lists some."""


def send_message(data: Path, episode: str, channel: str, say: Print, *, dry_run: bool) -> bool:
    """Print the newest message of an episode to a channel as it is sent, or send it again now.

    What is sent again has the key of the message that was sent. Returns True if it was taken.
    Raises EpisodeUnknown and ChannelUnusable.
    """
    settings, now = read_settings(data), datetime.now(UTC)
    if channel not in settings.channels:
        known = ", ".join(sorted(settings.channels)) or "none"
        raise EpisodeUnknown(
            f"the settings have no channel {channel!r}; there are: {known}",
            "add it to hoursight.toml as docs/loop.md shows",
        )
    dispatch = _dispatch(data, episode, channel, now)
    with closing(open_channel(channel, settings.channels[channel])) as opened:
        if dry_run:
            say(opened.preview(dispatch, now))
            return True
        answer = opened.send(dispatch, now)
    say(f"{channel}: {answer.verdict.value}{f': {answer.detail}' if answer.detail else ''}")
    return answer.verdict is Verdict.SENT


def _dispatch(data: Path, episode: str, channel: str, now: datetime) -> Dispatch:
    """Return what was sent last, else what would open the episode at this channel now."""
    folders = Folders.at(data)
    if folders.outbox.exists():
        with Outbox(folders) as outbox:
            if (sent := outbox.newest(episode, channel)) is not None:
                return sent
    with closing(Reader.open(data)) as reader:
        rows = reader.query(_NEWEST, episode=episode).to_pylist()
        if not rows:
            some = ", ".join(reader.query(_SOME)["episode"].to_pylist()) or "none yet"
            raise EpisodeUnknown(f"no episode {episode!r}; the newest are: {some}")
        return _opening(Window(reader, now), rows[0], channel)


def _opening(window: Window, row: dict[str, Any], channel: str) -> Dispatch:
    fields = EpisodeEvent.__struct_fields__
    level = EpisodeEvent(**{name: row[name] for name in fields}).level
    message = message_to(window, row, channel)
    action = "resolve" if message.is_closed else "open"
    delivery = f"{row['episode']}/{level}/{channel}"
    return Dispatch(delivery, row["episode"], level, action, channel, message, message)
