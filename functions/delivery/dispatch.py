"""Dispatch: one message on its way to a channel, and the receiver's answer."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from functions.delivery.message import Message
from storage.errors import HoursightError

__all__ = ["REPEATED", "Channel", "ChannelUnusable", "Dispatch", "SendOutcome", "SendResult"]


# What a message says to a receiver that has no key against doubles.
REPEATED = "This may be here twice: an earlier attempt may have arrived."


class ChannelUnusable(HoursightError):
    """A channel's settings cannot be used now, such as a secret that is not there."""

    retryable = True


class SendOutcome(Enum):
    """What came of an attempt; the value is the outcome in the table `deliveries`."""

    SENT = "sent"
    FAILED = "failed"
    REFUSED = "refused"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One message to send: open, update, acknowledge or resolve.

    `delivery` is the key under which the receiver knows it, the same for all its messages and
    attempts. `opened` is its opening message, `receipt` what the receiver answered to that.
    `may_have_arrived` says that an earlier attempt may have been accepted.
    """

    delivery: str
    episode: str
    level: str
    action: str
    channel: str
    message: Message
    opened: Message
    receipt: str | None = None
    may_have_arrived: bool = False


@dataclass(frozen=True, slots=True)
class SendResult:
    """The receiver's answer: `detail` in words; a failed attempt is tried after `retry_after`.

    `may_have_arrived` is about a failed attempt. `pause` says that the receiver takes nothing at
    all until then.
    """

    outcome: SendOutcome
    detail: str | None = None
    status: int | None = None
    receipt: str | None = None
    retry_after: timedelta = timedelta(0)
    may_have_arrived: bool = False
    pause: bool = False


class Channel(Protocol):
    """Sends messages to one receiver; of one thread.

    Where the receiver wants open messages again, it gets each every `refresh_every`, and one no
    sooner than `refresh_pause` after another.
    """

    refresh_every: timedelta | None
    refresh_pause: timedelta

    def send(self, dispatch: Dispatch, now: datetime) -> SendResult:
        """Send a message, within 30 s."""
        ...

    def preview(self, dispatch: Dispatch, now: datetime) -> str:
        """Return what `send` would send, with secrets masked."""
        ...

    def close(self) -> None:
        """Close its connections."""
        ...
