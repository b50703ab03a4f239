"""Local time: times of a zone to UTC, by their order where the clock was set back.

In the hour that a clock set back repeats, a local time alone names two instants. The order of a
series tells which: the pass is the one whose steps are nearest to the usual step of the series. A
time that the clock skips does not exist.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

__all__ = ["ASSUMED", "ASSUMED_REMEDY", "LocalClock", "LocalTimes", "repeated_span"]

ASSUMED = (
    "is in the hour that the clock repeats when it is set back, and no time before or after it "
    "tells which pass it is in: the first is assumed"
)
ASSUMED_REMEDY = "write times with their zone"

Micros = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SECOND_US = 1_000_000
# How far from a repeated hour the last time of each series is worth remembering.
DAY_US = 86_400 * SECOND_US
# Steps of earlier parts of a series that count for its order, so that another file can turn it.
ORDER_STEPS = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR, _LAST_YEAR = 1900, 2200
_YEAR_US = 365.2425 * DAY_US


@dataclass(frozen=True, slots=True)
class LocalTimes:
    """Times in UTC [n], and masks of those that do not exist, and that nothing tells apart."""

    utc: Micros
    skipped: Mask
    assumed: Mask


class _Transition(NamedTuple):
    """The instant at which the offset of a zone changes, and both offsets; in microseconds."""

    at_us: int
    before_us: int
    after_us: int


class LocalClock:
    """Turns the local times of one source into UTC; remembers the last time of each series."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self._last: dict[Hashable, _Seen] = {}

    def utc(
        self, local_us: Micros, series: Sequence[Hashable] | None = None, latest_us: int = 2**62
    ) -> LocalTimes:
        """UTC of local times [n] in the order in which they were written, by `series` [n].

        A time is in the first pass of a repeated hour if the second lies after `latest_us`.
        """
        zone = _zone_of(self.zone, local_us)
        utc_us, skipped, fold = zone.first_pass(local_us)
        assumed = np.zeros(len(local_us), bool)
        if zone.repeats_near(local_us):
            for key, rows in _by_series(series, len(local_us)).items():
                if len(rows) == 1 and fold[rows[0]] < 0:
                    self._last[key] = _seen_one(int(utc_us[rows[0]]), self._last.get(key))
                    continue
                run = _Series(utc_us[rows], fold[rows], zone.repeated_us, self._last.get(key))
                utc_us[rows], assumed[rows] = run.resolved(latest_us)
                self._last[key] = run.seen(utc_us[rows])
        return LocalTimes(utc_us, skipped, assumed)


def repeated_span(local: datetime, zone: str) -> tuple[datetime, datetime] | None:
    """The repeated local times that `local` is among, or is within a day after; None if there are
    none. All are without a zone.
    """
    us = (local.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
    for change in _transitions(zone, local.year - 1) + _transitions(zone, local.year):
        start_us, end_us = change.at_us + change.after_us, change.at_us + change.before_us
        if start_us < end_us and start_us <= us < end_us + DAY_US:
            first, last = (_EPOCH + timedelta(microseconds=t) for t in (start_us, end_us))
            return first.replace(tzinfo=None), last.replace(tzinfo=None)
    return None


class _Zone:
    """The offsets of a zone over some years, as arrays."""

    def __init__(self, offsets_us: Micros, changes_us: Micros) -> None:
        self._offsets_us = offsets_us  # [k + 1], before the first change and after each
        self._local_us = changes_us + offsets_us[:-1]  # of each change, by the clock before it
        self.repeated_us = np.maximum(0, offsets_us[:-1] - offsets_us[1:])  # by each change

    def first_pass(self, local_us: Micros) -> tuple[Micros, Mask, Micros]:
        """UTC [n], of a repeated time the first; the skipped ones; and the change that repeats
        each, -1 without one.
        """
        next_change = np.searchsorted(self._local_us, local_us, "right")
        utc_us = local_us - self._offsets_us[next_change]
        skipped = np.zeros(len(local_us), bool)
        fold = np.full(len(local_us), -1)
        if len(self._local_us):
            last = np.maximum(next_change - 1, 0)
            ahead_us = self._offsets_us[last + 1] - self._offsets_us[last]
            skipped = (next_change > 0) & (local_us - self._local_us[last] < ahead_us)
            coming = np.minimum(next_change, len(self._local_us) - 1)
            start_us = self._local_us[coming] - self.repeated_us[coming]
            repeated = (next_change < len(self._local_us)) & (local_us >= start_us)
            fold[repeated] = coming[repeated]
        return utc_us, skipped, fold

    def repeats_near(self, local_us: Micros) -> bool:
        """Return True if a time is in a repeated hour, or less than a day from the end of one."""
        folds_us = self._local_us[self.repeated_us > 0]
        if not len(folds_us) or not len(local_us):
            return False
        coming = np.searchsorted(folds_us, local_us, "right")
        ends_us = folds_us[np.minimum(coming, len(folds_us) - 1)]
        begun_us = folds_us[np.maximum(coming - 1, 0)]
        away_us = np.minimum(np.abs(ends_us - local_us), np.abs(local_us - begun_us))
        return bool(away_us.min() < DAY_US)


def _zone_of(zone: str, local_us: Micros) -> _Zone:
    years = [_FIRST_YEAR]
    if len(local_us):
        spread = (int(local_us.min()), int(local_us.max()))
        years = [min(max(1970 + int(us // _YEAR_US), _FIRST_YEAR), _LAST_YEAR) for us in spread]
    return _zone(zone, years[0] - 1, years[-1] + 1)


@cache
def _zone(zone: str, first_year: int, last_year: int) -> _Zone:
    changes = [c for year in range(first_year, last_year + 1) for c in _transitions(zone, year)]
    before_us = _offset_us(ZoneInfo(zone), datetime(first_year, 1, 1, tzinfo=UTC))
    return _Zone(
        np.array([before_us, *(c.after_us for c in changes)], np.int64),
        np.array([c.at_us for c in changes], np.int64),
    )


@cache
def _transitions(zone: str, year: int) -> tuple[_Transition, ...]:
    """The changes of a zone's offset within a year of UTC."""
    info, start = ZoneInfo(zone), datetime(year, 1, 1, tzinfo=UTC)
    end = datetime(year + 1, 1, 1, tzinfo=UTC)
    changes = []
    while start < end:
        next_day = min(start + timedelta(days=1), end)
        if _offset_us(info, start) != _offset_us(info, next_day):
            changes.append(_change(info, start, next_day))
        start = next_day
    return tuple(changes)


def _change(info: ZoneInfo, low: datetime, high: datetime) -> _Transition:
    """The change of the offset in (low, high], to the second."""
    before_us, after_us = _offset_us(info, low), _offset_us(info, high)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if _offset_us(info, middle) == before_us:
            low = middle
        else:
            high = middle
    return _Transition((high - _EPOCH) // timedelta(microseconds=1), before_us, after_us)


def _offset_us(info: ZoneInfo, at: datetime) -> int:
    offset = at.astimezone(info).utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)


class _Seen(NamedTuple):
    """The last time of a series in UTC and its usual step, in microseconds; and its order.

    `ascending` is how many more of the last steps went forward than back.
    """

    utc_us: int
    step_us: int
    ascending: int


def _seen_one(utc_us: int, before: _Seen | None) -> _Seen:
    """What follows a series of one time that is not repeated."""
    if before is None:
        return _Seen(utc_us, 0, 0)
    step_us = utc_us - before.utc_us
    ascending = before.ascending + (step_us > 0) - (step_us < 0)
    return _Seen(utc_us, before.step_us or abs(step_us), _bounded(ascending))


def _bounded(ascending: int) -> int:
    return max(-ORDER_STEPS, min(ORDER_STEPS, ascending))


def _by_series(series: Sequence[Hashable] | None, count: int) -> dict[Hashable, list[int]]:
    """The places of each series, in order."""
    if series is None:
        return {None: list(range(count))}
    places: dict[Hashable, list[int]] = {}
    for place, key in enumerate(series):
        places.setdefault(key, []).append(place)
    return places


class _Series:
    """The times of one series in the order of its file, with those that the clock repeats.

    `utc_us` [n] are of the first pass, `fold` [n] the change that repeats each, -1 without one, and
    `repeated_us` by how much each change sets the clock back.
    """

    def __init__(
        self, utc_us: Micros, fold: Micros, repeated_us: Micros, before: "_Seen | None"
    ) -> None:
        steps = np.diff(utc_us)
        every = steps if before is None else np.diff(utc_us, prepend=before.utc_us)
        ascending = int((every > 0).sum() - (every < 0).sum()) + (before.ascending if before else 0)
        self._ascending = _bounded(ascending)
        self._descending = self._ascending < 0
        order = slice(None, None, -1) if self._descending else slice(None)
        self._utc_us, self._fold = utc_us[order].copy(), fold[order]
        self._repeated_us, self._before, self._order = repeated_us, before, order
        self._step_us = self._usual_step(np.abs(steps[steps != 0]))
        elsewhere = steps[(fold[1:] < 0) & (fold[:-1] < 0)]
        self._one_a_time = bool(len(elsewhere) and (elsewhere != 0).all())

    def resolved(self, latest_us: int) -> tuple[Micros, Mask]:
        """UTC [n], and a mask of the times that nothing tells apart."""
        assumed = np.zeros(len(self._utc_us), bool)
        for change in np.unique(self._fold[self._fold >= 0]).tolist():
            for places in self._runs(np.flatnonzero(self._fold == change)):
                by_us = int(self._repeated_us[change])
                second, certain = self._second_pass(places, by_us)
                early = self._utc_us[places] + by_us <= latest_us
                assumed[places] = early & (not certain)
                self._utc_us[places[second & early]] += by_us
        return self._utc_us[self._order], assumed[self._order]

    def seen(self, utc_us: Micros) -> _Seen:
        """What the next part of the series is compared with."""
        return _Seen(int(utc_us[-1]), self._step_us, self._ascending)

    def _usual_step(self, steps: Micros) -> int:
        """The usual step: of these times, else of the part before, else from that to these."""
        if len(steps):
            return int(np.median(steps))
        if self._before is None:
            return 0
        return self._before.step_us or abs(int(self._utc_us[0]) - self._before.utc_us)

    def _runs(self, places: Micros) -> list[Micros]:
        """The places of one repeated hour, parted where the file begins again at earlier times."""
        by_us = int(self._repeated_us[self._fold[places[0]]])
        restarts = np.flatnonzero(np.diff(self._utc_us) < -by_us) + 1
        cuts = np.unique(np.searchsorted(places, restarts))
        return [run for run in np.split(places, cuts) if len(run)]

    def _second_pass(self, places: Micros, by_us: int) -> tuple[Mask, bool]:
        """A mask of the places in the second pass, and whether the order tells so."""
        times = self._utc_us[places]
        steps = np.diff(times)
        again = steps == 0
        twice = again.any() and not (again[1:] & again[:-1]).any()
        if self._one_a_time and twice and (steps >= 0).all():
            return np.concatenate([[False], again]), True  # sorted by the local time
        costs = self._costs(places, times, by_us)
        best = len(times) if costs.min() == costs[-1] else int(costs.argmin())
        rivals = (costs == costs[best]).sum()
        return np.arange(len(times)) >= best, bool(rivals == 1)

    def _costs(self, places: Micros, times: Micros, by_us: int) -> npt.NDArray[np.float64]:
        """How far the steps are from the usual one if the second pass begins at each place [n + 1].

        Relative to all times in the first pass, which is the last.
        """
        entry, leave = self._neighbour(int(places[0]) - 1), self._neighbour(int(places[-1]) + 1)
        costs = np.zeros(len(times) + 1)
        costs[1:-1] = self._gain(np.diff(times), by_us)
        if entry is not None and -by_us <= times[0] - entry <= DAY_US:
            costs[0] = self._gain(np.array([times[0] - entry]), by_us)[0]
        if leave is not None and 0 <= leave - times[-1] <= DAY_US:
            costs[:-1] += self._gain(np.array([leave - times[-1]]), -by_us)[0]
        return costs

    def _gain(self, steps: Micros, more_us: int) -> npt.NDArray[np.float64]:
        usual = self._step_us
        return np.abs(steps + more_us - usual) - np.abs(steps - usual).astype(np.float64)

    def _neighbour(self, place: int) -> int | None:
        """The time at a place in ascending order; at -1 that of the part before."""
        if place == (len(self._utc_us) if self._descending else -1):
            return self._before.utc_us if self._before else None
        return int(self._utc_us[place]) if 0 <= place < len(self._utc_us) else None
