"""Message: what an operator reads about a group of episodes, the worst first.

Parts that are not known are left out.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from storage.model.severity import SEVERITY_BY_NAME

__all__ = [
    "CLOSED", "Companion", "Message", "clock", "facts_of", "links_of", "summary_of", "title_of",
]  # fmt: skip

# Phases after which an episode is closed.
CLOSED = ("over", "withdrawn", "averted")


class Companion(msgspec.Struct, frozen=True, omit_defaults=True):
    """Another open episode of the group of a message; `what` is the label of its metric."""

    episode: str
    phase: str
    severity: str | None = None
    server: str | None = None
    metric: str | None = None
    what: str | None = None
    unit: str = ""
    value: float | None = None
    likely: datetime | None = None
    breached_at: datetime | None = None
    url: str | None = None


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One episode as of `ts`, and its group; None or an empty text is what is not known.

    `usual` is the median of `value` on this server at this hour, `limit` the level that the rule
    watches, `odds` the chance of a breach within `lead_minutes`. `trust` says how often the rule
    was right, `url` leads to the server's page as of `ts`, `act_url` to the page of the one-time
    link. Of the other open episodes of its group, `others` in number, `companions` are the worst;
    `ended` have ended.
    """

    episode: str
    ts: datetime
    phase: str
    event: str = "opened"
    severity: str | None = None
    rule: str | None = None
    server: str | None = None
    profile: str | None = None
    site: str | None = None
    metric: str | None = None
    label: str | None = None
    unit: str = ""
    value: float | None = None
    usual: float | None = None
    limit: float | None = None
    odds: float | None = None
    lead_minutes: int | None = None
    checked: bool | None = None
    earliest: datetime | None = None
    likely: datetime | None = None
    latest: datetime | None = None
    breached_at: datetime | None = None
    closes_at: datetime | None = None
    caused_by: str | None = None
    why: str | None = None
    reasons: tuple[str, ...] = ()
    trust: str | None = None
    next_step: str | None = None
    made_by: str | None = None
    url: str | None = None
    act_url: str | None = None
    companions: tuple[Companion, ...] = ()
    others: int = 0
    ended: int = 0

    @property
    def is_closed(self) -> bool:
        """True if the episode is over, withdrawn or averted."""
        return self.phase in CLOSED


def title_of(message: Message, now: datetime) -> str:
    """Return the message in one line: `Critical: disk on db-7 likely passes 95 % in 43 min`.

    That of a group is about its worst episode: `…, and 4 others`.
    """
    others = message.ended if message.is_closed else message.others
    more = f", and {others} {'other' if others == 1 else 'others'}" if others else ""
    return f"{_worst(message, now)}{more}"


def _worst(message: Message, now: datetime) -> str:
    what = f"{_subject(message)}{_on_server(message)}"
    severity = SEVERITY_BY_NAME.get(message.severity or "")
    name = severity.name if severity else "Alert"
    if message.is_closed:
        return f"{message.phase.capitalize()}: {what}"
    if message.phase == "no data":
        return f"{name}: no data{_on_server(message)}"
    limit = None if message.limit is None else _amount(message.limit, message.unit)
    if message.phase == "breached":
        value = None if message.value is None else _amount(message.value, message.unit)
        now_at = f" is at {value}" if value else ""
        return f"{name}: {what}{now_at}{f', limit {limit}' if limit else ''}"
    passes = f" likely passes {limit}" if limit else " is likely to breach its limit"
    return f"{name}: {what}{passes}{_when(message, now)}"


def facts_of(message: Message, now: datetime) -> list[tuple[str, str]]:
    """Return what is known, as pairs of a label and a text, most urgent first."""
    return [
        (label, text)
        for label, text in (
            ("Together", _together(message, now)), ("Now", _value(message)),
            ("Limit", _optional(message.limit, message.unit)),
            ("Odds", _odds(message)), ("Breach", _breach(message, now)),
            ("Time to act", _time_to_act(message, now)),
            ("Why", "; ".join(filter(None, (message.why, *message.reasons)))),
            ("Caused by", message.caused_by or ""), ("Rule", message.rule or ""),
            ("How far to trust it", message.trust or ""),
            ("Next step", "" if message.is_closed else message.next_step or ""),
            ("By", message.made_by or ""),
            ("Closes", _closes(message, now)),
        )
        if text
    ]  # fmt: skip


def summary_of(message: Message, now: datetime) -> str:
    """Return title, facts and links as lines of plain text."""
    lines = [title_of(message, now), ""]
    lines += [f"{label}: {text}" for label, text in facts_of(message, now)]
    links = links_of(message)
    lines += [""] * bool(links) + [f"{text}: {url}" for text, url in links]
    return "\n".join(lines) + "\n"


def links_of(message: Message) -> list[tuple[str, str]]:
    """Return the links of a message, as pairs of a text and a URL."""
    answer = "Acknowledge, or say that you act on it"
    links = [
        ("Server as of then", message.url),
        (answer, None if message.is_closed else message.act_url),
        *((f"{each.server} as of then", each.url) for each in message.companions),
    ]
    return [(text, url) for text, url in links if url]


def clock(ts: datetime, now: datetime) -> str:
    """Return a time of today as `03:40 UTC`, another with its date."""
    utc = ts.astimezone(UTC)
    same_day = utc.date() == now.astimezone(UTC).date()
    return f"{utc:%H:%M} UTC" if same_day else f"{utc:%Y-%m-%d %H:%M} UTC"


def _subject(message: Message) -> str:
    return message.label or message.metric or "the server"


def _on_server(message: Message) -> str:
    return f" on {message.server}" if message.server else ""


def _when(message: Message, now: datetime) -> str:
    if message.likely is not None:
        left = message.likely - now
        return f" in {_span(left)}" if left > timedelta(0) else f" ({clock(message.likely, now)})"
    return f" within {_minutes(message.lead_minutes)}" if message.lead_minutes else ""


def _together(message: Message, now: datetime) -> str:
    """Return how many episodes of a group are open, and the runway of the worst."""
    if message.is_closed or not message.others + message.ended:
        return ""
    first = Companion(
        message.episode, message.phase, message.severity, message.server, message.metric,
        message.label, message.unit, message.value, message.likely, message.breached_at,
    )  # fmt: skip
    shown = [first, *message.companions]
    left_out = message.others - len(message.companions)
    words = [_runway(each, now) for each in shown] + [f"{left_out} more"] * bool(left_out)
    over = f"; {message.ended} ended" if message.ended else ""
    return f"{1 + message.others} open: {', '.join(words)}{over}"


def _runway(each: Companion, now: datetime) -> str:
    """Return what an episode of a group has left: `db-8 (Critical, likely in 20 min)`."""
    left = None if each.likely is None else each.likely - now
    state = {
        "breached": _breached(each, now),
        "predicted": "predicted" if left is None
        else f"likely in {_span(left)}" if left > timedelta(0) else "likely now",
    }.get(each.phase, each.phase)  # fmt: skip
    severity = SEVERITY_BY_NAME.get(each.severity or "")
    named = each.what or each.metric
    what = f"{named} on {each.server}" if named else str(each.server)
    return f"{what} ({', '.join(filter(None, (severity.name if severity else '', state)))})"


def _breached(each: Companion, now: datetime) -> str:
    at = f" at {_amount(each.value, each.unit)}" if each.value is not None else ""
    since = f" since {clock(each.breached_at, now)}" if each.breached_at is not None else ""
    return f"breached{at}{since}"


def _value(message: Message) -> str:
    if message.value is None:
        return ""
    text = _amount(message.value, message.unit)
    if message.usual is None:
        return text
    return f"{text}; usual on this server at this hour: {_amount(message.usual, message.unit)}"


def _odds(message: Message) -> str:
    if message.odds is None or message.is_closed:
        return ""
    within = f" within {_minutes(message.lead_minutes)}" if message.lead_minutes else ""
    checked = {
        None: "",
        True: "; checked on breaches of this fleet",
        False: "; not yet checked on this fleet",
    }
    return f"{_percent(message.odds)} that it breaches{within}{checked[message.checked]}"


def _breach(message: Message, now: datetime) -> str:
    if message.breached_at is not None:
        return f"since {clock(message.breached_at, now)}"
    if message.is_closed:
        return ""
    return ", ".join(
        f"{name} {clock(ts, now)}"
        for name, ts in (
            ("likely", message.likely), ("earliest", message.earliest), ("latest", message.latest),
        )
        if ts is not None
    )  # fmt: skip


def _time_to_act(message: Message, now: datetime) -> str:
    return "; ".join(_parts_of_time(message, now))


def _parts_of_time(message: Message, now: datetime) -> Iterator[str]:
    if message.is_closed:
        return
    if message.breached_at is None and message.likely is not None:
        left = message.likely - now
        yield _span(left) if left > timedelta(0) else "none left: the likely time has passed"
    severity = SEVERITY_BY_NAME.get(message.severity or "")
    if severity and severity.respond_within_minutes:
        yield f"respond within {_minutes(severity.respond_within_minutes)}"


def _closes(message: Message, now: datetime) -> str:
    if message.closes_at is None or message.is_closed:
        return ""
    return f"{clock(message.closes_at, now)} if nothing changes"


def _optional(value: float | None, unit: str) -> str:
    return "" if value is None else _amount(value, unit)


def _amount(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}".removesuffix(".0")
    return f"{number} {unit}".rstrip()


def _percent(p: float) -> str:
    if p > 0.99:
        return "over 99 %"
    return f"{100 * p:.0f} %" if p >= 0.01 else "under 1 %"


def _minutes(minutes: int) -> str:
    return _span(timedelta(minutes=minutes))


def _span(period: timedelta) -> str:
    """Return `43 min`, `1 h 40 min` or `2 d 3 h`."""
    minutes = max(1, round(period.total_seconds() / 60))
    days, hours, minutes = minutes // 1440, minutes % 1440 // 60, minutes % 60
    if days:
        return " ".join([f"{days} d"] + [f"{hours} h"] * bool(hours))
    return " ".join([f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes or not hours))
