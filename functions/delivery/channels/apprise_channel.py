"""Apprise: every other receiver, by its URL.

It has no key against doubles, and answers no more than yes or no: what is sent again says so.
"""

import io
import logging
import re
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

import apprise

from functions.delivery.channels.http_sending import masked, secret_of
from functions.delivery.dispatch import (
    REPEATED,
    ChannelUnusable,
    Dispatch,
    SendOutcome,
    SendResult,
)
from functions.delivery.message import summary_of, title_of
from storage.config.channel_settings import AppriseSettings
from storage.platform.error_text import bounded

__all__ = ["AppriseChannel"]

SHOWN_CHARS = 300
PARTS, LEAST = re.compile(r"[/:@?&=]"), 6


class AppriseChannel:
    """One receiver that Apprise knows."""

    refresh_every: timedelta | None = None
    refresh_pause = timedelta(0)

    def __init__(self, name: str, settings: AppriseSettings) -> None:
        self._url = secret_of(settings, "url", name)
        scheme, _, rest = self._url.partition("://")
        # Which part is the secret depends on the receiver.
        self._secrets = [self._url, *(part for part in PARTS.split(rest) if len(part) >= LEAST)]
        self._receiver = apprise.Apprise()
        with _captured():
            known = self._receiver.add(self._url)
        if not known:
            raise ChannelUnusable(
                f"the URL of channel {name} is not one of Apprise's (scheme {scheme[:20]!r})",
                "write one as Apprise's documentation has it, for example 'ntfy://TOPIC'",
            )

    def close(self) -> None:
        """Do nothing: Apprise keeps no connection."""

    def send(self, dispatch: Dispatch, now: datetime) -> SendResult:
        """Send a message; Apprise says no more than whether it was taken."""
        title, body, kind = self._parts(dispatch, now)
        with _captured() as said:
            taken = self._receiver.notify(body=body, title=title, notify_type=kind)
        if taken:
            return SendResult(SendOutcome.SENT)
        detail = bounded(masked(" ".join(said.getvalue().split()), self._secrets), SHOWN_CHARS)
        return SendResult(
            SendOutcome.FAILED, f"not taken: {detail}".rstrip(": "), may_have_arrived=True
        )

    def preview(self, dispatch: Dispatch, now: datetime) -> str:
        """Return what Apprise is handed: its plugin makes the request."""
        title, body, kind = self._parts(dispatch, now)
        return "\r\n".join([f"{self._url.partition('://')[0]}://***", kind.value, title, "", body])

    def _parts(self, dispatch: Dispatch, now: datetime) -> tuple[str, str, apprise.NotifyType]:
        kinds = {"resolve": apprise.NotifyType.SUCCESS, "open": apprise.NotifyType.FAILURE}
        kind = kinds.get(dispatch.action, apprise.NotifyType.WARNING)
        message = dispatch.message
        body = summary_of(message, now).partition("\n\n")[2]
        if dispatch.may_have_arrived:
            body = f"{REPEATED}\n\n{body}"
        return title_of(message, now), body, kind


def _captured() -> AbstractContextManager[io.StringIO]:
    """Context: what Apprise logs from a warning up, which goes nowhere else."""
    capture: AbstractContextManager[io.StringIO] = apprise.LogCapture(  # type: ignore[no-untyped-call]
        level=logging.WARNING, fmt="%(message)s"
    )
    return capture
