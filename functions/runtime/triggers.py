"""What sets a function off: frozen data, judged by the runner against the time and the commits."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

__all__ = ["Every", "Rows", "Trigger", "every", "rows"]


@dataclass(frozen=True, slots=True)
class Every:
    """At each full period of the clock: `every("5m")` at :00, :05, :10 …"""

    period: timedelta

    def due(self, now: datetime, last: datetime | None) -> bool:
        """Whether a full period has begun since the last run."""
        return last is None or self._number(now) > self._number(last)

    def next_after(self, now: datetime) -> datetime:
        """When the next full period begins."""
        return datetime.fromtimestamp(
            (self._number(now) + 1) * self.period.total_seconds(), tz=now.tzinfo
        )

    def _number(self, moment: datetime) -> int:
        return int(moment.timestamp() // self.period.total_seconds())

    def __str__(self) -> str:
        return f"every {self.period.total_seconds():g} s"


@dataclass(frozen=True, slots=True)
class Rows:
    """New committed rows in `table`, at most once in `pause`."""

    table: str
    pause: timedelta = timedelta(0)

    def __str__(self) -> str:
        return f"rows in {self.table}"


Trigger = Every | Rows

_PERIOD = re.compile(r"(?P<count>\d+(\.\d+)?)(?P<unit>ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_period(text: str) -> timedelta:
    """`"5s"`, `"1.5m"`, `"250ms"`, `"1h"`, `"1d"` as a time span; ValueError for anything else."""
    match = _PERIOD.fullmatch(text)
    if match is None or float(match["count"]) == 0:
        raise ValueError(f"{text!r} is no period: write a number and ms, s, m, h or d, as in '5s'")
    return timedelta(seconds=float(match["count"]) * _SECONDS[match["unit"]])


def every(period: str) -> Every:
    """Run at each full `period` of the clock, such as "5s" or "5m"."""
    return Every(parse_period(period))


def rows(table: str, pause: str | None = None) -> Rows:
    """Run after each commit that changed `table`, at most once in `pause`."""
    return Rows(table, parse_period(pause) if pause else timedelta(0))
