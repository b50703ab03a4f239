"""Deliveries of the crash sweep: the messages of some episodes, to a receiver that lies."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from functions.delivery.channel_factory import open_channel
from functions.delivery.delivery_threads import ChannelWorker
from functions.delivery.message import Message
from functions.delivery.outbox import Outbox, always
from functions.delivery.routing import EpisodeEvent
from scripts.tools.lying_receiver import LyingReceiver
from storage.config.channel_settings import WebhookSettings
from storage.config.folders import Folders

__all__ = ["deliver_episodes", "lost_and_doubled"]

CHANNEL, SECRET = "hook", "CRASH_SWEEP_SECRET"
START = datetime(2026, 1, 1, tzinfo=UTC)
# Longer than a lease and than any pause after a failure: what waits is due again.
JUMP = timedelta(minutes=10)
OF_A_JOB = timedelta(hours=1)


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
        for name, phase in (("opened", "predicted"), ("closed", "over")):
            for number in numbers:
                event = _event(number, name, phase)
                message = Message(event.episode, event.ts, phase)
                outbox.enqueue(event, {CHANNEL: settings}, always(message), clock[0])
            while outbox.waiting(CHANNEL).count:
                worker.send_next(outbox, channel)
                clock[0] += JUMP
    channel.close()


def lost_and_doubled(receiver: LyingReceiver, numbers: Sequence[int]) -> tuple[int, int]:
    """Return how many messages of these episodes never came, and how many came twice."""
    counts = {
        (n, action): len(receiver.taken[f"{_name(n)}/critical/{CHANNEL}", action])
        for n in numbers for action in ("open", "resolve")
    }  # fmt: skip
    return sum(not n for n in counts.values()), sum(n - 1 for n in counts.values() if n)


def _name(number: int) -> str:
    return f"episode-{number}"


def _event(number: int, event: str, phase: str) -> EpisodeEvent:
    ts = START + number * timedelta(seconds=1)
    return EpisodeEvent(_name(number), ts, event, phase, "critical", 0, CHANNEL)
