"""Cron times: the five fields `minute hour day month weekday`, in UTC."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache

__all__ = ["CronTimes", "parse_cron"]

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
# Name, lowest, highest, and the words that stand for numbers.
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day", 1, 31, {}),
    ("month", 1, 12, {name: i for i, name in enumerate(_MONTHS, 1)}),
    ("weekday", 0, 7, {name: i for i, name in enumerate(_DAYS)}),
)
_PART = re.compile(r"(?P<all>\*)|(?P<first>\w+)(-(?P<last>\w+))?")
# 29 February comes again after at most 8 years, on a given weekday after at most 40.
_HORIZON_DAYS = 40 * 366


@dataclass(frozen=True, slots=True)
class CronTimes:
    """The moments that a cron line means."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool  # with a day and a weekday given, one of them is enough: cron's old rule

    def next_after(self, moment: datetime) -> datetime:
        """The first moment later than `moment`."""
        for day in self._dates(moment.astimezone(UTC).date()):
            for hour in self.hours:
                for minute in self.minutes:
                    found = datetime.combine(day, time(hour, minute), UTC)
                    if found > moment:
                        return found
        raise ValueError("it never comes")

    def _dates(self, first: date) -> Iterator[date]:
        for ahead in range(_HORIZON_DAYS):
            day = first + timedelta(days=ahead)
            if day.month in self.months and self._falls_on(day):
                yield day

    def _falls_on(self, day: date) -> bool:
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_day or by_weekday if self.either else by_day and by_weekday


@cache
def parse_cron(text: str) -> CronTimes:
    """`"*/5 * * * *"`, `"30 2 * * mon-fri"`; ValueError names the field that is wrong."""
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"{text!r} is no cron line: write minute, hour, day, month and weekday, as in "
            "'30 2 * * mon-fri'"
        )
    minutes, hours, days, months, weekdays = (
        _numbers(field, *expected) for field, expected in zip(fields, _FIELDS, strict=True)
    )
    times = CronTimes(
        tuple(sorted(minutes)), tuple(sorted(hours)), days, months,
        frozenset(number % 7 for number in weekdays),
        either=not fields[2].startswith("*") and not fields[4].startswith("*"),
    )  # fmt: skip
    try:
        times.next_after(datetime(2000, 1, 1, tzinfo=UTC))
    except ValueError as error:
        raise ValueError(f"{text!r} names a day that never comes") from error
    return times


def _numbers(
    field: str, name: str, lowest: int, highest: int, words: dict[str, int]
) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        match = _PART.fullmatch(span)
        if match is None or (step or "1").strip("0123456789") or step == "0" or part[-1:] == "/":
            raise _wrong(field, name, lowest, highest)
        try:
            first = lowest if match["all"] else _number(match["first"], words)
            last = highest if match["all"] else _number(match["last"] or match["first"], words)
        except ValueError as error:
            raise _wrong(field, name, lowest, highest) from error
        if step and not match["all"] and not match["last"]:
            last = highest  # 5/15 is 5-59/15
        if not lowest <= first <= last <= highest:
            raise _wrong(field, name, lowest, highest)
        found.update(range(first, last + 1, int(step or 1)))
    return frozenset(found)


def _number(text: str, words: dict[str, int]) -> int:
    return words[text.lower()] if text.lower() in words else int(text)


def _wrong(field: str, name: str, lowest: int, highest: int) -> ValueError:
    return ValueError(
        f"{field!r} is no {name}: write *, a number from {lowest} to {highest}, a-b, a,b or */n"
    )
