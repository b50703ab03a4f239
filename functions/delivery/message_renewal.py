"""Message renewal: value, odds and times of open episodes as of now, for messages to edit."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from functions.delivery.message import Companion, Message
from functions.engine.window import Window

__all__ = ["newest_odds", "renewed", "renewed_group"]

Odds = Mapping[tuple[str | None, str | None], Mapping[str, Any]]

ODDS_OVER = timedelta(minutes=15)

_ODDS = """
SELECT * FROM odds
WHERE issued_at > $since AND issued_at <= $now AND list_contains($servers, server)
QUALIFY row_number() OVER (PARTITION BY server, metric ORDER BY issued_at DESC) = 1
"""


def newest_odds(
    window: Window, messages: Sequence[Message]
) -> dict[tuple[str | None, str | None], dict[str, Any]]:
    """Return the newest row of `odds` of the last 15 minutes, by server and metric."""
    named = {message.server for message in messages}
    named |= {each.server for message in messages for each in message.companions}
    servers = sorted(filter(None, named))
    if not servers:
        return {}
    since = window.now - ODDS_OVER
    rows = window.sql(_ODDS, since=since, now=window.now, servers=servers).to_pylist()
    return {(row["server"], row["metric"]): row for row in rows}


def renewed_group(message: Message, odds: Odds) -> Message:
    """Return a message in which all of its group have the newest values and times."""
    message = renewed(message, odds.get((message.server, message.metric)))
    companions = tuple(
        _with_runway(each, odds.get((each.server, each.metric)), message)
        for each in message.companions
    )
    return msgspec.structs.replace(message, companions=companions)


def _with_runway(each: Companion, odds: Mapping[str, Any] | None, message: Message) -> Companion:
    if odds is None or odds["issued_at"] < message.ts or odds["value"] is None:
        return each
    return msgspec.structs.replace(each, value=odds["value"], likely=odds["likely"] or each.likely)


def renewed(message: Message, odds: Mapping[str, Any] | None) -> Message:
    """Return a message with the newest value, odds and times of the breach, where there are any."""
    if odds is None or message.is_closed or odds["issued_at"] < message.ts:
        return message
    p = odds.get(f"p_{message.lead_minutes}m")
    times = {name: odds[name] for name in ("earliest", "likely", "latest")}
    known = {"value": odds["value"], "odds": p} | (times if p is not None else {})
    fresh = {name: value for name, value in known.items() if value is not None}
    gone = {name: None for name in times if p is not None and times[name] is None}
    return msgspec.structs.replace(message, **gone, **fresh)
