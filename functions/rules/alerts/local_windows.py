"""Local windows: from when to when a window of a zone's clock is, also where the clock changes.

A start that the clock skips is at the change; one in an hour that it repeats is in the first pass,
and an end there in the second. So nothing that a window's local times name is left out.
"""

import calendar
import re
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo

__all__ = [
    "Recurrence", "instant", "parse_clock", "parse_local", "parse_recurrence", "zone_called",
]  # fmt: skip

_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY = re.compile(r"(?P<nth>[+-]?[1-5])?(?P<day>MO|TU|WE|TH|FR|SA|SU)")
_PARTS = ("FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "UNTIL")
_EXAMPLE = "for example 'FREQ=WEEKLY;BYDAY=SU' or 'FREQ=MONTHLY;BYDAY=2TU'"
_CHANGE_WITHIN = timedelta(seconds=1)

# Whether a rule that began on one date has an occurrence on another.
Recurrence = Callable[[date, date], bool]


def zone_called(name: str) -> tzinfo:
    """Return the time zone of an IANA name. Raises ValueError with the remedy."""
    if name == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        if not zoneinfo.available_timezones():
            raise ValueError(
                f"zone is {name!r}, and this machine has no data of time zones: install the "
                "system's package tzdata, or 'pip install tzdata'"
            ) from error
        raise ValueError(
            f"zone is {name!r}, expected an IANA name such as 'Europe/Berlin'"
        ) from error


def instant(local: datetime, zone: tzinfo, *, last: bool = False) -> datetime:
    """Return the instant (UTC) at which a zone's clock shows `local`, or first shows more.

    Of the two of a repeated hour it is the first, or with `last` the second.
    """
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first <= second:
        return second if last else first
    while first - second > _CHANGE_WITHIN:  # skipped: the change is between the two
        middle = second + (first - second) / 2
        if middle.astimezone(zone).replace(tzinfo=None) >= local:
            first = middle
        else:
            second = middle
    return first.replace(microsecond=0)


def parse_recurrence(text: str) -> Recurrence:
    """Return a subset of RRULE as a function. Raises ValueError, which names the part."""
    parts = dict(_parts(text))
    interval = _number("INTERVAL", parts.get("INTERVAL", "1"), 1, 999)
    days = [_day(each) for each in parts.get("BYDAY", "").split(",") if each]
    numbers = [
        _number("BYMONTHDAY", each, -31, 31)
        for each in parts.get("BYMONTHDAY", "").split(",") if each
    ]  # fmt: skip
    last = _until(parts["UNTIL"]) if "UNTIL" in parts else date.max
    frequency = parts.get("FREQ", "")
    if frequency not in ("DAILY", "WEEKLY", "MONTHLY"):
        raise ValueError(f"FREQ is {frequency!r}, expected DAILY, WEEKLY or MONTHLY")
    if frequency != "MONTHLY" and (numbers or any(nth for nth, _ in days)):
        raise ValueError(f"{text!r} names days of the month, expected FREQ=MONTHLY with them")

    def occurs(began: date, day: date) -> bool:
        if not began <= day <= last or _periods(frequency, began, day) % interval:
            return False
        if frequency == "DAILY":
            return not days or (0, day.weekday()) in days
        if frequency == "WEEKLY":
            return (0, day.weekday()) in (days or [(0, began.weekday())])
        return _in_month(day, days, numbers or ([] if days else [began.day]))

    return occurs


def _parts(text: str) -> Iterator[tuple[str, str]]:
    for part in text.upper().removeprefix("RRULE:").split(";"):
        key, _, value = part.partition("=")
        if key not in _PARTS or not value:
            raise ValueError(
                f"{part!r} is not a valid part of a recurrence (expected {', '.join(_PARTS)}, "
                f"{_EXAMPLE})"
            )
        yield key, value


def _number(key: str, text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[+-]?\d{1,3}", text) or not least <= int(text) <= most or not int(text):
        raise ValueError(f"{key} is {text!r}, expected a number from {least} to {most} without 0")
    return int(text)


def _day(text: str) -> tuple[int, int]:
    match = _DAY.fullmatch(text)
    if match is None:
        raise ValueError(f"BYDAY has {text!r}, expected MO to SU, 2TU or -1FR")
    return int(match["nth"] or 0), _DAYS.index(match["day"])


def _until(text: str) -> date:
    try:
        return datetime.strptime(text[:8], "%Y%m%d").date()  # noqa: DTZ007 - a local date
    except ValueError as error:
        raise ValueError(f"UNTIL is {text!r}, expected a date such as 20261231") from error


def _periods(frequency: str, began: date, day: date) -> int:
    if frequency == "DAILY":
        return (day - began).days
    if frequency == "WEEKLY":
        return (day - began + timedelta(days=began.weekday())).days // 7
    return (day.year - began.year) * 12 + day.month - began.month


def _in_month(day: date, days: list[tuple[int, int]], numbers: list[int]) -> bool:
    length = calendar.monthrange(day.year, day.month)[1]
    if day.day in numbers or day.day - length - 1 in numbers:
        return True
    nth, last_nth = (day.day - 1) // 7 + 1, -((length - day.day) // 7 + 1)
    return any(weekday == day.weekday() and each in (0, nth, last_nth) for each, weekday in days)


def parse_clock(key: str, text: str) -> time:
    """Return a local time of day. Raises ValueError, which names `key`."""
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError(f"{key} is {text!r}, expected a time of day such as '06:00'")
    return time.fromisoformat(text)


def parse_local(key: str, text: str) -> datetime:
    """Return a local date and time without zone. Raises ValueError, which names `key`."""
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        local = None
    if local is None or local.tzinfo is not None:
        raise ValueError(
            f"{key} is {text!r}, expected local date and time such as '2026-03-29 01:00'"
        )
    return local
