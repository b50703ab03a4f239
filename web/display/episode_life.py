"""The life of an episode: its line, and its messages in words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from web.display import formatting

__all__ = ["Station", "delivery_text", "life_line"]

# Events that stand on the line, and their words; the phase is the word of the others.
_WORDS = {
    "acknowledged": "acknowledged", "acting": "acting", "deploy": "deployment",
    "remediation": "remediation", "reboot": "reboot", "escalated": "escalated",
}  # fmt: skip
_TURNS = ("opened", "breached", "closed")


@dataclass(frozen=True, slots=True)
class Station:
    """One point of the line: what happened, when, and by whom."""

    text: str
    at: datetime


def life_line(
    events: Iterable[Mapping[str, Any]], deliveries: Iterable[Mapping[str, Any]]
) -> tuple[Station, ...]:
    """Return what happened in order: opened, first message, answers, breach, end."""
    line = [
        Station(_word(event), event["ts"])
        for event in events
        if event["event"] in _TURNS or event["event"] in _WORDS
    ]
    sent = min((each["sent_at"] for each in deliveries if each["sent_at"]), default=None)
    if sent is not None:
        line.append(Station("sent", sent))
    return tuple(sorted(line, key=lambda station: station.at))


def _word(event: Mapping[str, Any]) -> str:
    word = _WORDS.get(event["event"], event["phase"])
    return f"{word} ({event['made_by']})" if event["made_by"] else str(word)


def delivery_text(row: Mapping[str, Any], now: datetime) -> str:
    """Return the state of a message in words; `row` is of `web/sql/episode_deliveries.sql`."""
    newest = row["newest"]
    status = f" ({newest['status']})" if newest["status"] else ""
    detail = f": {newest['detail']}" if newest["detail"] else ""
    attempt = f"attempt {newest['attempt'] or 1}"
    match newest["outcome"]:
        case "sent":
            return f"Sent at {formatting.clock(row['sent_at'], now)}{status}"
        case "queued":
            return f"Waiting since {formatting.ago(row['queued_at'], now)}"
        case "failed":
            again = newest["next_at"]
            when = f"; again at {formatting.clock(again, now)}" if again else ""
            return f"Failed, {attempt}{status}{detail}{when}"
        case "refused":
            return f"Refused by the receiver{status}{detail}; it is not tried again"
        case outcome:
            return f"{formatting.sentence(str(outcome))}{detail}"
