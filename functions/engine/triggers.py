"""Triggers: what sets a function off, as frozen data that the schedule evaluates."""

import re
from datetime import UTC, datetime, timedelta

import msgspec
from cronsim import CronSim, CronSimError

from storage.model.periods import parse_period

__all__ = [
    "Cron", "Every", "Files", "Request", "Rows", "Trigger", "cron", "every", "files",
    "request", "rows",
]  # fmt: skip


class Every(msgspec.Struct, frozen=True, tag="every"):
    """At each full period of the clock: `every("5m")` at :00, :05, :10 …"""

    period: timedelta

    def due(self, now: datetime, last: datetime | None) -> bool:
        """Return True if a full period has begun since the last run."""
        return last is None or self._number(now) > self._number(last)

    def next_after(self, now: datetime) -> datetime:
        """Return when the next full period begins."""
        return datetime.fromtimestamp(
            (self._number(now) + 1) * self.period.total_seconds(), tz=now.tzinfo
        )

    def _number(self, ts: datetime) -> int:
        return int(ts.timestamp() // self.period.total_seconds())

    def __str__(self) -> str:
        return f"every {self.period.total_seconds():g} s"


class Cron(msgspec.Struct, frozen=True, tag="cron"):
    """At the times that five cron fields name, in UTC: `cron("30 2 * * mon-fri")`."""

    text: str

    def due(self, now: datetime, last: datetime) -> bool:
        """Return True if such a time has come since the last run."""
        return self.next_after(last) <= now

    def next_after(self, now: datetime) -> datetime:
        """Return the first such time after `now`, in UTC."""
        return next(CronSim(self.text, now.astimezone(UTC)))

    def __str__(self) -> str:
        return f"cron {self.text}"


class Rows(msgspec.Struct, frozen=True, tag="rows"):
    """New committed rows in `table`, at most once in `pause`."""

    table: str
    pause: timedelta = timedelta(0)

    def __str__(self) -> str:
        return f"rows in {self.table}"


class Files(msgspec.Struct, frozen=True, tag="files"):
    """New or changed files; a pattern that is not absolute starts at the data folder."""

    pattern: str

    def __str__(self) -> str:
        return f"files {self.pattern}"


class Request(msgspec.Struct, frozen=True, tag="request"):
    """`POST /api/v1/functions/NAME`, where `path` may take the place of the function's name."""

    path: str = ""

    def __str__(self) -> str:
        return f"request {self.path}".rstrip()


Trigger = Every | Cron | Rows | Files | Request

# Name, what is expected, and the line that has this field alone.
_CRON_FIELDS = (
    ("minute", "0 to 59", "{} * * * *"),
    ("hour", "0 to 23", "* {} * * *"),
    ("day", "1 to 31, L for the month's last", "* * {} * *"),
    ("month", "1 to 12 or jan to dec", "* * * {} *"),
    ("weekday", "0 to 7 or sun to sat, 5L for the month's last Friday, 1#2 for its second Monday",
     "* * * * {}"),
)  # fmt: skip
_LEAP_YEAR = datetime(2000, 1, 1, tzinfo=UTC)
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def every(period: str) -> Every:
    """Run at each full `period` of the clock, such as "5s" or "5m"."""
    return Every(parse_period(period))


def cron(text: str) -> Cron:
    """Run at the times of a cron line: minute, hour, day, month and weekday, in UTC.

    ValueError names the field that is wrong, its value and what is expected.
    """
    fields = text.split()
    if len(fields) != len(_CRON_FIELDS):
        raise ValueError(
            f"{text!r} is not a valid cron line (expected minute, hour, day, month and weekday, "
            "for example '30 2 * * mon-fri')"
        )
    for field, (name, expected, line) in zip(fields, _CRON_FIELDS, strict=True):
        if not _occurs(line.format(field)):
            raise ValueError(
                f"{field!r} is not a valid {name} (expected *, {expected}, a-b, a,b or */n)"
            )
    if not _occurs(text):
        raise ValueError(
            f"{text!r} never occurs (expected a day that the month has, for example '0 0 28 2 *')"
        )
    return Cron(text)


def _occurs(line: str) -> bool:
    """Return True if a cron line can be parsed and names a time within 50 years."""
    try:
        return next(CronSim(line, _LEAP_YEAR), None) is not None
    except (CronSimError, ValueError):  # ValueError: int() refuses more than 4300 digits
        return False


def rows(table: str, pause: str | None = None) -> Rows:
    """Run after each commit that changed `table`, at most once in `pause`."""
    return Rows(table, parse_period(pause) if pause else timedelta(0))


def files(pattern: str) -> Files:
    """Run when files that match `pattern` come or change; they are handed over as `paths`.

    `*` stands for anything in a name, `**` for any folders in between.
    """
    if not pattern.strip("/"):
        raise ValueError(
            f"{pattern!r} is not a valid pattern of files (expected for example 'drop/*.csv')"
        )
    return Files(pattern)


def request(path: str = "") -> Request:
    """Run when it is called over HTTP; the JSON of the call is handed over as `body`."""
    if path and not _PATH.fullmatch(path):
        raise ValueError(
            f"{path!r} is not a valid request path (expected one word of letters, digits, '-', '_' "
            "and '.')"
        )
    return Request(path)
