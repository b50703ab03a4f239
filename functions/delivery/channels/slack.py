"""Slack: one message that a bot edits in place, or messages by an incoming webhook.

Slack has no key against doubles. A bot's message carries its delivery as metadata: where an attempt
may have arrived, the channel's newest messages are searched for it before it is posted again. A
webhook answers `ok` and no id, and cannot be searched: what it gets again says so.
"""

from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec

from functions.delivery.channels.http_sending import (
    HttpReply,
    HttpSender,
    refused_or_failed,
    secret_of,
)
from functions.delivery.dispatch import REPEATED, Dispatch, SendOutcome, SendResult
from functions.delivery.message import Message, facts_of, title_of
from storage.config.channel_settings import SlackSettings

__all__ = ["SlackBotChannel", "SlackWebhookChannel", "blocks_of", "slack_channel"]

REFRESH = timedelta(minutes=1)
BETWEEN_REFRESHES = timedelta(seconds=2)  # Slack takes about 50 edits a minute
SEARCHED = timedelta(hours=25)
EVENT_TYPE = "hoursight_delivery"
MAX_HEADER, MAX_SECTION, MAX_TEXT = 150, 3000, 3000
# Errors of the Web API that pass by themselves.
PASSING = (
    "ratelimited", "rate_limited", "internal_error", "fatal_error", "request_timeout",
    "service_unavailable", "team_added_to_org",
)  # fmt: skip
GONE = ("message_not_found", "cant_update_message", "edit_window_closed")


def slack_channel(name: str, settings: SlackSettings) -> "SlackBotChannel | SlackWebhookChannel":
    """Return the channel of these settings. Raises ChannelUnusable."""
    kind = SlackBotChannel if settings.has_bot else SlackWebhookChannel
    return kind(name, settings)


class _ApiReply(msgspec.Struct, frozen=True):
    """An answer of the Web API."""

    ok: bool = False
    error: str = ""
    ts: str = ""
    channel: str = ""
    messages: list[dict[str, Any]] = []


class SlackBotChannel:
    """A channel of Slack in which a bot posts, and edits what it posted."""

    refresh_every: timedelta | None = REFRESH
    refresh_pause = BETWEEN_REFRESHES

    def __init__(self, name: str, settings: SlackSettings) -> None:
        self._token = secret_of(settings, "token", name)
        self._channel, self._url = settings.channel, settings.url.rstrip("/")
        self._sender = HttpSender(settings, [self._token])

    def close(self) -> None:
        """Close its connections."""
        self._sender.close()

    def send(self, dispatch: Dispatch, now: datetime) -> SendResult:
        """Post a message, or edit the one that was posted."""
        if dispatch.receipt is None and dispatch.may_have_arrived:
            posted = self._search(dispatch, now)
            if posted is not None:
                return SendResult(SendOutcome.SENT, "it had arrived", 200, receipt=posted)
        reply = self._sender.send(self._request(dispatch, now))
        return self._judged(reply, dispatch) if isinstance(reply, HttpReply) else reply

    def preview(self, dispatch: Dispatch, now: datetime) -> str:
        """Return the request, with the token masked."""
        return self._sender.preview(self._request(dispatch, now))

    def _request(self, dispatch: Dispatch, now: datetime) -> httpx.Request:
        body: dict[str, Any] = {
            "channel": self._channel, **_content(dispatch, now),
            "metadata": {
                "event_type": EVENT_TYPE, "event_payload": {"delivery": dispatch.delivery}
            },
        }  # fmt: skip
        method = "chat.postMessage"
        if dispatch.receipt is not None:
            channel, _, ts = dispatch.receipt.partition(" ")
            method, body = "chat.update", body | {"channel": channel, "ts": ts}
        else:
            body |= {"unfurl_links": False, "unfurl_media": False}
        return self._call(method, body)

    def _call(self, method: str, body: dict[str, Any]) -> httpx.Request:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Authorization": f"Bearer {self._token}",
        }
        url = f"{self._url}/{method}"
        return self._sender.request("POST", url, msgspec.json.encode(body), headers)

    def _search(self, dispatch: Dispatch, now: datetime) -> str | None:
        """Return the receipt of a message that has arrived already; None if none is seen."""
        oldest = (now - SEARCHED).timestamp()
        query = f"channel={self._channel}&include_all_metadata=true&limit=100&oldest={oldest:.0f}"
        url = f"{self._url}/conversations.history?{query}"
        headers = {"Authorization": f"Bearer {self._token}"}
        reply = self._sender.send(self._sender.request("GET", url, b"", headers))
        if not isinstance(reply, HttpReply):
            return None
        for message in _parsed(reply).messages:
            metadata = message.get("metadata") or {}
            payload = metadata.get("event_payload") or {}
            if payload.get("delivery") == dispatch.delivery and message.get("ts"):
                return f"{self._channel} {message['ts']}"
        return None

    def _judged(self, reply: HttpReply, dispatch: Dispatch) -> SendResult:
        if reply.status != 200:
            return refused_or_failed(reply, self._sender.masked(reply.text))
        parsed = _parsed(reply)
        if parsed.ok:
            receipt = dispatch.receipt or f"{parsed.channel or self._channel} {parsed.ts}"
            return SendResult(SendOutcome.SENT, status=200, receipt=receipt)
        if parsed.error in GONE:
            return SendResult(
                SendOutcome.REFUSED,
                f"the message cannot be edited any more ({parsed.error})",
                200,
            )
        if not parsed.error or parsed.error in PASSING:
            detail = f"Slack answers {parsed.error or 'something that is not its API'}"
            return SendResult(SendOutcome.FAILED, detail, 200, may_have_arrived=True, pause=True)
        return SendResult(
            SendOutcome.REFUSED, f"Slack refuses it: {parsed.error}{_hint(parsed.error)}", 200
        )


class SlackWebhookChannel:
    """A channel of Slack by an incoming webhook, which cannot edit."""

    refresh_every: timedelta | None = None
    refresh_pause = timedelta(0)

    def __init__(self, name: str, settings: SlackSettings) -> None:
        self._url = secret_of(settings, "webhook", name)
        path = self._url.partition("://")[2].partition("/")[2]
        self._sender = HttpSender(settings, [self._url, path])

    def close(self) -> None:
        """Close its connections."""
        self._sender.close()

    def send(self, dispatch: Dispatch, now: datetime) -> SendResult:
        """Post a message."""
        return self._sender.deliver(self._request(dispatch, now))

    def preview(self, dispatch: Dispatch, now: datetime) -> str:
        """Return the request; the path of the webhook is its secret."""
        return self._sender.preview(self._request(dispatch, now))

    def _request(self, dispatch: Dispatch, now: datetime) -> httpx.Request:
        content = _content(dispatch, now)
        if dispatch.may_have_arrived:
            note = {"type": "mrkdwn", "text": REPEATED}
            content["blocks"].append({"type": "context", "elements": [note]})
        body = msgspec.json.encode(content)
        headers = {"Content-Type": "application/json"}
        return self._sender.request("POST", self._url, body, headers)


def _content(dispatch: Dispatch, now: datetime) -> dict[str, Any]:
    """Return text and blocks; a message that a higher level has replaced says no more than that."""
    message = dispatch.message
    title = title_of(message, now)
    if dispatch.action == "resolve" and not message.is_closed:
        title = f"Replaced by a newer message: {title}"
        text = {"type": "plain_text", "text": _cut(title, MAX_SECTION)}
        return {"text": title[:MAX_TEXT], "blocks": [{"type": "section", "text": text}]}
    return {"text": title[:MAX_TEXT], "blocks": blocks_of(message, now)}


def blocks_of(message: Message, now: datetime) -> list[dict[str, Any]]:
    """Return the blocks of a message, within Slack's limits; with buttons that are links."""
    lines = [f"*{label}*: {_escaped(text)}" for label, text in facts_of(message, now)]
    header = {"type": "plain_text", "text": _cut(title_of(message, now), MAX_HEADER)}
    blocks: list[dict[str, Any]] = [{"type": "header", "text": header}]
    if lines:
        text = {"type": "mrkdwn", "text": _cut("\n".join(lines), MAX_SECTION)}
        blocks.append({"type": "section", "text": text})
    if any(each.url for each in message.companions):
        blocks.append(_companions(message))
    links = [("Open the server", message.url)]
    if not message.is_closed:
        links.append(("Acknowledge or act", message.act_url))
    buttons = [_button(text, url) for text, url in links if url]
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return blocks


def _companions(message: Message) -> dict[str, Any]:
    """Return the links of a group, whole ones only."""
    links = [
        f"<{each.url}|{_escaped(each.server or '')}>" for each in message.companions if each.url
    ]
    text = "Others: "
    for link in links:
        if len(text) + len(link) > MAX_SECTION:
            break
        text = f"{text}{link} "
    return {"type": "section", "text": {"type": "mrkdwn", "text": text.strip()}}


def _button(text: str, url: str) -> dict[str, Any]:
    label = {"type": "plain_text", "text": text}
    return {"type": "button", "text": label, "url": url, "action_id": text.lower()}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _parsed(reply: HttpReply) -> _ApiReply:
    try:
        return msgspec.json.decode(reply.body, type=_ApiReply)
    except msgspec.MsgspecError:
        return _ApiReply()


def _hint(error: str) -> str:
    hints = {
        "not_in_channel": ": invite the bot into the channel",
        "channel_not_found": ": check channels.NAME.channel, and invite the bot",
        "missing_scope": ": give the bot the scope chat:write",
        "invalid_auth": ": check the token",
        "token_revoked": ": make a new token",
    }
    return hints.get(error, "")
