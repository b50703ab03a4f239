"""Webhook: JSON with a signature. Attempts of one message have the same Idempotency-Key.

`Hoursight-Signature: t=SECONDS,v1=HEX`, where HEX is HMAC-SHA256 with the channel's secret over
`SECONDS.BODY`; a receiver refuses a time that is more than some minutes away.
"""

import hashlib
import hmac
from datetime import datetime, timedelta

import httpx
import msgspec

from functions.delivery.channels.http_sending import (
    HttpSender,
    secret_of,
)
from functions.delivery.dispatch import Dispatch, SendResult
from functions.delivery.message import facts_of, title_of
from storage.config.channel_settings import WebhookSettings

__all__ = ["WebhookChannel", "idempotency_key", "signature"]


class WebhookChannel:
    """One URL that takes signed JSON."""

    refresh_every: timedelta | None = None
    refresh_pause = timedelta(0)

    def __init__(self, name: str, settings: WebhookSettings) -> None:
        self._secret = secret_of(settings, "secret", name)
        self._url = settings.url
        self._sender = HttpSender(settings, [self._secret])

    def close(self) -> None:
        """Close its connections."""
        self._sender.close()

    def send(self, dispatch: Dispatch, now: datetime) -> SendResult:
        """Post a message; any 2xx is accepted."""
        return self._sender.deliver(self._request(dispatch, now), accepted=range(200, 300))

    def preview(self, dispatch: Dispatch, now: datetime) -> str:
        """Return the request; its signature is that of `now`."""
        return self._sender.preview(self._request(dispatch, now))

    def _request(self, dispatch: Dispatch, now: datetime) -> httpx.Request:
        body = _body(dispatch, now)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": idempotency_key(dispatch),
            "Hoursight-Signature": signature(self._secret, body, now),
        }
        return self._sender.request("POST", self._url, body, headers)


def idempotency_key(dispatch: Dispatch) -> str:
    """Return what all attempts of a message have in common, and no other message."""
    text = f"{dispatch.delivery}\n{dispatch.action}\n{dispatch.message.ts.isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def signature(secret: str, body: bytes, now: datetime) -> str:
    """Return the signature header of a body."""
    seconds = int(now.timestamp())
    signed = f"{seconds}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def _body(dispatch: Dispatch, now: datetime) -> bytes:
    message = dispatch.message
    return msgspec.json.encode({
        "delivery": dispatch.delivery, "action": dispatch.action, "level": dispatch.level,
        "title": title_of(message, now), "facts": dict(facts_of(message, now)),
        "episode": msgspec.to_builtins(message),
    })  # fmt: skip
