"""Deliveries of the crash sweep: the messages of some episodes, to a receiver that lies.

Those of even numbers are groups of two, of which one ends before the other.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from functions.delivery.channel_factory import open_channel
from functions.delivery.delivery_threads import ChannelWorker
from functions.delivery.message import Message
from functions.delivery.outbox import Outbox, always
from functions.delivery.routing import EpisodeEvent, GroupEvent
from scripts.tools.lying_receiver import LyingReceiver
from storage.config.channel_settings import WebhookSettings
from storage.config.folders import Folders

__all__ = ["deliver_episodes", "lost_and_doubled"]

CHANNEL, SECRET = "hook", "CRASH_SWEEP_SECRET"
START = datetime(2026, 1, 1, tzinfo=UTC)
# Longer than a lease and than any pause after a failure: what waits is due again.
JUMP = timedelta(minutes=10)
OF_A_JOB = timedelta(hours=1)
STAGES = ("opened", "half over", "over")


def deliver_episodes(data: Path, numbers: Sequence[int], job_number: int, url: str) -> None:
    """Send all messages of these episodes, as the engine does that reads their events again.

    The clock jumps, and begins later for a later job: what a killed one has leased is due.
    """
    os.environ[SECRET] = "of nobody"
    settings = WebhookSettings(url=url, secret_env=SECRET)
    clock = [START + job_number * OF_A_JOB]
    folders, channel = Folders.at(data), open_channel(CHANNEL, settings)
    worker = ChannelWorker(folders, CHANNEL, lambda: channel, lambda: clock[0])
    with Outbox(folders) as outbox:
        for stage in STAGES:
            made = [(each, always(_message(each))) for n in numbers for each in _events(n, stage)]
            outbox.enqueue_all(made, {CHANNEL: settings}, clock[0])
            while outbox.waiting(CHANNEL).count:
                worker.send_next(outbox, channel)
                clock[0] += JUMP
    channel.close()


def lost_and_doubled(receiver: LyingReceiver, numbers: Sequence[int]) -> tuple[int, int]:
    """Return how many messages of these episodes never came, and how many came twice."""
    counts = {
        (n, action): len(receiver.taken[f"{_name(n)}/critical/{CHANNEL}", action])
        for n in numbers for action in ("open", "resolve", *["update"] * _is_group(n))
    }  # fmt: skip
    return sum(not n for n in counts.values()), sum(n - 1 for n in counts.values() if n)


def _name(number: int) -> str:
    return f"episode-{number}"


def _is_group(number: int) -> bool:
    return number % 2 == 0


def _events(number: int, stage: str) -> list[GroupEvent]:
    """Return what happens to an episode, or to a group, at a stage; nothing to one in the middle.

    The second one of a group ends at the middle.
    """
    first = _event(number, _name(number), stage == "over", STAGES.index(stage))
    if not _is_group(number):
        return [GroupEvent.alone(first)] if stage != "half over" else []
    second = _event(number, f"{_name(number)}-b", stage != "opened", STAGES.index(stage))
    now = {"opened": (first, second), "half over": (second,), "over": (first,)}[stage]
    return [GroupEvent(now, (first, second))]


def _event(number: int, episode: str, ended: bool, minute: int) -> EpisodeEvent:
    ts = START + timedelta(minutes=minute, seconds=number)
    name, phase = ("closed", "over") if ended else ("opened", "predicted")
    return EpisodeEvent(episode, ts, name, phase, "critical", 0, CHANNEL, _name(number))


def _message(event: GroupEvent) -> Message:
    return Message(event.group, event.ts, event.members[0].phase)
