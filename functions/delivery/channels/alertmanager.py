"""Alertmanager: POST /api/v2/alerts. An open alert is sent again each cycle, and ends by itself.

Its labels are its identity: they never hold a value, and stay those of the opening message. An
alert that is sent twice is the same alert.
"""

import base64
from datetime import datetime, timedelta

import httpx
import msgspec

from functions.delivery.channels.http_sending import (
    HttpSender,
    secret_of,
)
from functions.delivery.dispatch import Dispatch, SendResult
from functions.delivery.message import facts_of, title_of
from storage.config.channel_settings import AlertmanagerSettings
from storage.model.periods import parse_period
from storage.model.severity import SEVERITY_BY_NAME

__all__ = ["CYCLES", "AlertmanagerChannel", "alert_of"]

CYCLES = 3  # an alert that is not sent again for so long ends


class AlertmanagerChannel:
    """One Alertmanager."""

    refresh_every: timedelta | None
    refresh_pause = timedelta(0)

    def __init__(self, name: str, settings: AlertmanagerSettings) -> None:
        password = secret_of(settings, "password", name)
        self.refresh_every = self._cycle = parse_period(settings.every)
        self._url = f"{settings.url.rstrip('/')}/api/v2/alerts"
        self._headers = {"Content-Type": "application/json"}
        secrets = [password]
        if settings.user:
            token = base64.b64encode(f"{settings.user}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"
            secrets.append(token)
        self._sender = HttpSender(settings, secrets)

    def close(self) -> None:
        """Close its connections."""
        self._sender.close()

    def send(self, dispatch: Dispatch, now: datetime) -> SendResult:
        """Send the alert as it is now."""
        return self._sender.deliver(self._request(dispatch, now))

    def preview(self, dispatch: Dispatch, now: datetime) -> str:
        """Return the request, with the password masked."""
        return self._sender.preview(self._request(dispatch, now))

    def _request(self, dispatch: Dispatch, now: datetime) -> httpx.Request:
        body = msgspec.json.encode([alert_of(dispatch, now, self._cycle)])
        return self._sender.request("POST", self._url, body, self._headers)


def alert_of(dispatch: Dispatch, now: datetime, cycle: timedelta) -> dict[str, object]:
    """Return the alert of a message: it ends three cycles from `now`, or now if it is resolved."""
    ends = now if dispatch.action == "resolve" else now + CYCLES * cycle
    alert: dict[str, object] = {
        "labels": _labels(dispatch),
        "annotations": _annotations(dispatch, now),
        "startsAt": min(dispatch.opened.ts, ends).isoformat(),
        "endsAt": ends.isoformat(),
    }
    if dispatch.message.url:
        alert["generatorURL"] = dispatch.message.url
    return alert


def _labels(dispatch: Dispatch) -> dict[str, str]:
    opened = dispatch.opened
    severity = SEVERITY_BY_NAME.get(opened.severity or "")
    labels = {
        "alertname": opened.rule or "hoursight", "server": opened.server, "metric": opened.metric,
        "severity": severity.slug if severity else None, "profile": opened.profile,
        "site": opened.site, "level": dispatch.level, "episode": dispatch.episode,
    }  # fmt: skip
    return {name: value for name, value in labels.items() if value}


def _annotations(dispatch: Dispatch, now: datetime) -> dict[str, str]:
    message = dispatch.message
    facts = {_annotation_name(label): text for label, text in facts_of(message, now)}
    links = {"link": message.url, "acknowledge": message.act_url}
    return (
        {"summary": title_of(message, now), "phase": message.phase}
        | facts
        | {name: url for name, url in links.items() if url}
    )


def _annotation_name(label: str) -> str:
    return label.lower().replace(" ", "_")
