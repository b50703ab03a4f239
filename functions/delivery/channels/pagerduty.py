"""PagerDuty: Events API v2. 202 is accepted, 400 is never tried again, 429 and 5xx are.

The dedup_key is the delivery: PagerDuty takes a second trigger with it as the same incident.
"""

from datetime import datetime, timedelta

import httpx
import msgspec

from functions.delivery.channels.http_sending import (
    HttpReply,
    HttpSender,
    refused_or_failed,
    secret_of,
)
from functions.delivery.dispatch import Dispatch, SendOutcome, SendResult
from functions.delivery.message import Message, facts_of, links_of, title_of
from storage.config.channel_settings import PagerdutySettings
from storage.model.severity import SEVERITY_BY_NAME

__all__ = ["PagerdutyChannel", "pagerduty_event"]

MAX_SUMMARY, MAX_DEDUP_KEY = 1024, 255
SEVERITIES = {
    "imminent": "critical", "critical": "critical", "danger": "error", "warning": "warning",
}  # fmt: skip
ACTIONS = {
    "open": "trigger", "update": "trigger", "acknowledge": "acknowledge", "resolve": "resolve",
}  # fmt: skip


class PagerdutyChannel:
    """One service of PagerDuty."""

    refresh_every: timedelta | None = None
    refresh_pause = timedelta(0)

    def __init__(self, name: str, settings: PagerdutySettings) -> None:
        self._key = secret_of(settings, "routing_key", name)
        self._url = settings.url
        self._sender = HttpSender(settings, [self._key])

    def close(self) -> None:
        """Close its connections."""
        self._sender.close()

    def send(self, dispatch: Dispatch, now: datetime) -> SendResult:
        """Send the event of a message."""
        reply = self._sender.send(self._request(dispatch, now))
        return self._judged(reply) if isinstance(reply, HttpReply) else reply

    def preview(self, dispatch: Dispatch, now: datetime) -> str:
        """Return the request, with the routing key masked."""
        return self._sender.preview(self._request(dispatch, now))

    def _request(self, dispatch: Dispatch, now: datetime) -> httpx.Request:
        event = pagerduty_event(dispatch, self._key, now)
        headers = {"Content-Type": "application/json"}
        return self._sender.request("POST", self._url, msgspec.json.encode(event), headers)

    def _judged(self, reply: HttpReply) -> SendResult:
        detail = self._sender.masked(reply.text)
        if reply.status == 202:
            return SendResult(SendOutcome.SENT, detail, 202)
        return refused_or_failed(reply, detail)


def pagerduty_event(dispatch: Dispatch, routing_key: str, now: datetime) -> dict[str, object]:
    """Return the event of a message; what closes an incident has no payload."""
    action = ACTIONS[dispatch.action]
    event: dict[str, object] = {
        "routing_key": routing_key, "event_action": action,
        "dedup_key": dispatch.delivery[:MAX_DEDUP_KEY],
    }  # fmt: skip
    if action == "trigger":
        event["payload"] = _payload(dispatch.message, now)
        event["client"] = "Hoursight"
        event["links"] = [{"text": text, "href": url} for text, url in links_of(dispatch.message)]
        if dispatch.message.url:
            event["client_url"] = dispatch.message.url
    return event


def _payload(message: Message, now: datetime) -> dict[str, object]:
    severity = SEVERITY_BY_NAME.get(message.severity or "")
    payload = {
        "summary": title_of(message, now)[:MAX_SUMMARY],
        "source": message.server or "hoursight",
        "severity": SEVERITIES.get(severity.slug if severity else "", "info"),
        "timestamp": message.ts.isoformat(),
        "component": message.metric, "group": message.site or message.profile,
        "class": message.rule, "custom_details": dict(facts_of(message, now)),
    }  # fmt: skip
    return {key: value for key, value in payload.items() if value is not None}
