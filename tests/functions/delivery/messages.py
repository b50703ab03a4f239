"""Messages and events for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from functions.delivery.dispatch import Dispatch
from functions.delivery.message import Message
from functions.delivery.routing import EpisodeEvent

__all__ = ["NOW", "dispatch", "event", "message"]

NOW = datetime(2026, 5, 6, 3, 0, tzinfo=UTC)


def message(**fields: Any) -> Message:
    known: dict[str, Any] = {
        "episode": "e1", "ts": NOW, "phase": "predicted", "severity": "critical",
        "rule": "disk fills", "server": "db-7", "site": "lab", "metric": "disk_usage_pct",
        "label": "disk used", "unit": "%", "value": 91.25, "usual": 62.0, "limit": 95.0,
        "odds": 0.62, "lead_minutes": 60, "checked": True,
        "earliest": NOW + timedelta(minutes=21), "likely": NOW + timedelta(minutes=43),
        "latest": NOW + timedelta(hours=22), "why": "grows by 4 points an hour",
        "trust": "12 of 15 warnings of this rule came true in 30 days",
        "next_step": "Free space.", "url": "https://hs.example/servers/db-7?at=x",
        "act_url": "https://hs.example/act/token",
    }  # fmt: skip
    return Message(**known | fields)


def dispatch(action: str = "open", **fields: Any) -> Dispatch:
    own = {name: fields.pop(name) for name in ("receipt", "may_have_arrived") if name in fields}
    opened = message()
    return Dispatch(
        "e1/critical/oncall", "e1", "critical", action, "oncall",
        message(**fields) if fields or action != "open" else opened, opened, **own,
    )  # fmt: skip


def event(name: str = "opened", phase: str = "predicted", **fields: Any) -> EpisodeEvent:
    known: dict[str, Any] = {"severity": "critical", "escalation": 0, "channels": "oncall"}
    after = timedelta(minutes=fields.pop("after", 0))
    return EpisodeEvent("e1", NOW + after, name, phase, **known | fields)
