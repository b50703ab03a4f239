"""Rows of alert events for the site's tests: an episode is a list of what happened, minutes ago."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.web.site_lakes import SiteLakeWriter

# An event, its phase, and how many minutes ago it was.
Happened = tuple[str, str, float]

PREDICTED: Happened = ("opened", "predicted", 90)
LIVES: dict[str, list[Happened]] = {
    "right": [PREDICTED, ("breached", "breached", 38), ("closed", "over", 5)],
    "wrong": [("opened", "predicted", 1000), ("closed", "withdrawn", 300)],
    "withdrawn": [PREDICTED, ("closed", "withdrawn", 60)],
    "averted": [PREDICTED, ("acting", "predicted", 80), ("closed", "averted", 40)],
    "missed": [("opened", "breached", 70), ("closed", "over", 20)],
}


def episode_rows(
    episode: str, life: Iterable[Happened], now: datetime | None = None, **fields: Any
) -> list[dict[str, Any]]:
    """Return the rows of one episode: memory on web-07.shop unless `fields` say otherwise."""
    now = now or datetime.now(UTC)
    rows, breached_at = [], None
    for event, phase, minutes in life:
        ts = now - timedelta(minutes=minutes)
        breached_at = ts if phase == "breached" and breached_at is None else breached_at
        rows.append({
            "episode": episode, "ts": ts, "event": event, "phase": phase, "server": "web-07.shop",
            "metric": "mem_used_pct", "rule": "breach", "severity": "Warning", "escalation": 0,
            "value": 82.0, "threshold": 95.0, "p": 0.48, "lead_minutes": 60,
            "earliest": now + timedelta(minutes=50), "likely": now + timedelta(minutes=130),
            "latest": now + timedelta(minutes=260), "breached_at": breached_at,
            "made_by": "alice" if event in ("acting", "acknowledged") else None,
            "group_key": "site lab", "channels": "team", "why": f"{event}, in words",
            "reasons": ["Memory grows by 4.1 % an hour"], "state": "{}",
        } | fields)  # fmt: skip
    return rows


def insert_history(lake: SiteLakeWriter, now: datetime | None = None) -> None:
    """Insert an episode of each outcome; its id is the outcome."""
    rows = [row for name, life in LIVES.items() for row in episode_rows(name, life, now)]
    lake.insert("alert_events", rows)
