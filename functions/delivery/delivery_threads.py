"""Delivery threads: one for each channel, in the engine's process, beside its loop.

A receiver that does not answer delays its own channel only, and never a function. The outbox is on
the disk, so a thread is all that this needs: a process of its own would have to watch it too.
"""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from functions.delivery.channel_factory import open_channel
from functions.delivery.dispatch import (
    Channel,
    ChannelUnusable,
    Dispatch,
    SendOutcome,
    SendResult,
)
from functions.delivery.heartbeat_thread import HeartbeatThread
from functions.delivery.outbox import Leased, Outbox
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.platform.threads import SupervisedThread

__all__ = ["ChannelWorker", "DeliveryThreads"]

log = logging.getLogger(__name__)

POLL_S = 1.0
# After a failure of the whole receiver nothing else is tried there for so long.
PAUSES_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
UNUSABLE_S = 30.0
NO_REFRESH = timedelta(days=3650)


class ChannelWorker:
    """Sends what the outbox has for one channel."""

    def __init__(
        self,
        folders: Folders,
        name: str,
        open_it: Callable[[], Channel],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folders, self._name, self._open, self._clock = folders, name, open_it, clock
        self._failures = 0
        self._not_before = self._next_refresh = clock()

    def keep_sending(self, stop: threading.Event) -> None:
        """Send what is due until `stop` is set."""
        channel = self._opened(stop)
        if channel is None:
            return
        try:
            with Outbox(self._folders) as outbox:
                while not stop.is_set():
                    if not self.send_next(outbox, channel):
                        stop.wait(POLL_S)
        finally:
            channel.close()

    def _opened(self, stop: threading.Event) -> Channel | None:
        """Return the channel once its settings can be used; None if `stop` is set before."""
        logged = ""
        while not stop.is_set():
            try:
                return self._open()
            except ChannelUnusable as error:
                if str(error) != logged:
                    logged = str(error)
                    log.error("channel %s sends nothing: %s", self._name, logged)
                stop.wait(UNUSABLE_S)
        return None

    def send_next(self, outbox: Outbox, channel: Channel) -> bool:
        """Send one message that is due, or one again; return False if there was none."""
        now = self._clock()
        if now < self._not_before:
            return False
        leased = outbox.lease(self._name, now)
        if leased is None:
            return self._refresh(outbox, channel, now)
        answer = channel.send(leased.dispatch, now)
        outbox.record(leased, answer, self._clock())
        self._pause_if_failed(answer)
        _log_answer(self._name, leased, answer)
        return True

    def _refresh(self, outbox: Outbox, channel: Channel, now: datetime) -> bool:
        """Send one open message again where the receiver wants that; return False if none."""
        if channel.refresh_every is None or now < self._next_refresh:
            return False
        due = outbox.due_for_refresh(self._name, now - channel.refresh_every)
        if not due:
            return False
        answer = channel.send(due[0], now)
        self._next_refresh = now + channel.refresh_pause
        self._pause_if_failed(answer)
        if answer.outcome is SendOutcome.REFUSED:
            log.warning(
                "channel %s does not renew %s any more: %s",
                self._name, due[0].delivery, answer.detail,
            )  # fmt: skip
            now += NO_REFRESH
        elif answer.outcome is SendOutcome.FAILED:
            log.warning("channel %s: %s", self._name, answer.detail)
            return True
        outbox.refreshed(due[0].delivery, now)
        return True

    def _pause_if_failed(self, answer: SendResult) -> None:
        if answer.outcome is not SendOutcome.FAILED:
            self._failures = 0
            return
        self._failures += 1
        if answer.pause:
            pause_s = PAUSES_S[min(self._failures, len(PAUSES_S)) - 1]
            pause = max(timedelta(seconds=pause_s), answer.retry_after)
            self._not_before = self._clock() + pause


class DeliveryThreads:
    """The threads of all channels, and of the heartbeat; they end when `stop` is set."""

    def __init__(self, folders: Folders, settings: Settings, stop: threading.Event) -> None:
        works: dict[str, Callable[[threading.Event], None]] = {
            f"channel {name}": ChannelWorker(
                folders, name, partial(open_channel, name, channel)
            ).keep_sending
            for name, channel in settings.channels.items()
        }
        if settings.heartbeat.is_set:
            works["heartbeat"] = HeartbeatThread(folders, settings.heartbeat).keep_pinging
        self._threads = [
            SupervisedThread(name, partial(work, stop), stop) for name, work in works.items()
        ]

    def start(self) -> "DeliveryThreads":
        """Start them; return self."""
        for thread in self._threads:
            thread.start()
        return self

    def join(self, timeout: float) -> None:
        """Wait for each, for at most `timeout` seconds: a message on its way is sent again."""
        for thread in self._threads:
            thread.join(timeout)


def _log_answer(name: str, leased: Leased, answer: SendResult) -> None:
    dispatch: Dispatch = leased.dispatch
    level = {SendOutcome.SENT: logging.INFO, SendOutcome.FAILED: logging.WARNING}
    log.log(
        level.get(answer.outcome, logging.ERROR), "channel %s: %s of %s %s%s",
        name, dispatch.action, dispatch.delivery, answer.outcome.value,
        f": {answer.detail}" if answer.detail else "",
    )  # fmt: skip
