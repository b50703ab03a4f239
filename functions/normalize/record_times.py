"""Times of records: a page's column to microseconds since 1970, and a log of what is refused."""

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from functions.normalize.columns import Column
from functions.normalize.local_time import ASSUMED, ASSUMED_REMEDY, LocalClock
from functions.normalize.mapping import Time
from functions.normalize.timestamps import MISSING, InvalidTimestamp, Micros, Series, micros
from storage.model.reject_log import RejectLog
from storage.model.time_limits import TimeRange

__all__ = ["RecordTimes"]

_DATE_ALONE = "is a date without a time of day, and its server has another row with that date"
_DATE_REMEDY = "name the columns of both in mapping.time.date and mapping.time.time"
_DATE = re.compile(r"\s*\d{4}-\d\d-\d\d\s*")

Servers = Sequence[str | None] | None


class RecordTimes:
    """Reads the times of a source, page after page; remembers the order of local times."""

    def __init__(self, time: Time) -> None:
        self._time, self._clock = time, LocalClock(time.zone or "UTC")

    def read(
        self, column: Column, servers: Servers, within: TimeRange, rejects: RejectLog
    ) -> Micros:
        """The times of a column [n], MISSING where there is none `within` those that can be true.

        `servers` [n] order local times.
        """
        page = _PageLog(f"time (field {self._time.about})", servers, rejects)
        series = Series(self._clock, servers, page.assumed)
        times = micros(column, self._time, page.refuse, within, series)
        if self._time.format == "iso":
            page.note_dates(column, times)
        return times


class _PageLog:
    """Notes what a page has about its times; `about` names their field."""

    def __init__(self, about: str, servers: Servers, rejects: RejectLog) -> None:
        self._about, self._servers, self._rejects = about, servers, rejects

    def refuse(self, i: int, value: Any, error: InvalidTimestamp) -> None:
        """Refuse the time at a place."""
        example = error.shown(value) + self._of(i)
        self._rejects.add(f"{self._about}: {error.message}", example, remedy=error.remedy)

    def assumed(self, i: int, value: Any, count: int) -> None:
        """Note local times whose pass nothing tells."""
        reason = f"{self._about}: {ASSUMED}"
        self._rejects.note(reason, f"{value!r}{self._of(i)}", count, ASSUMED_REMEDY)

    def note_dates(self, column: Column, times: Micros) -> None:
        """Note dates without a time of day, where a server has several rows of one."""
        first = _first(column)
        if self._servers is None or not isinstance(first, str) or not _DATE.fullmatch(first):
            return
        keys = [(s, t) for s, t in zip(self._servers, times.tolist(), strict=True) if t != MISSING]
        repeated = len(keys) - len(set(keys))
        if repeated:
            reason = f"{self._about}: {_DATE_ALONE}"
            self._rejects.note(reason, repr(first), repeated, _DATE_REMEDY)

    def _of(self, i: int) -> str:
        server = self._servers[i] if self._servers else None
        return f" of {server}" if server is not None else ""


def _first(column: Column) -> Any:
    if not len(column):
        return None
    return column[0].as_py() if isinstance(column, pa.Array) else column[0]
