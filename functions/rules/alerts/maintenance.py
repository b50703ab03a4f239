"""Maintenance windows: when nobody is to be notified of some servers, by a zone's own clock."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cronsim import CronSim, CronSimError

from functions.rules.alerts.local_windows import (
    instant,
    parse_clock,
    parse_local,
    parse_recurrence,
    zone_called,
)
from functions.rules.alerts.rule import Scope, check_name, check_period
from storage.model.periods import parse_period

__all__ = ["Maintenance", "Occurrence", "in_maintenance"]

LONGEST = timedelta(days=31)
LONGEST_REPEATED = timedelta(days=7)
LOOKED_AHEAD = timedelta(days=62)
_LEAP_YEAR = datetime(2000, 1, 1, tzinfo=UTC)


class Occurrence(NamedTuple):
    """One time of a window: from its start to before its end, in UTC."""

    start: datetime
    end: datetime


class Maintenance(Scope, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A window by the clock of `zone`: from `starts`, repeated as `repeat` says, or by `cron`.

    It ends at the local time `to`, or after the time `duration`, which goes on when the clock is
    changed.
    """

    name: str
    zone: str
    starts: str | None = None
    repeat: str | None = None
    cron: str | None = None
    to: str | None = None
    duration: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        zone_called(self.zone)
        if (self.starts is None) == (self.cron is None):
            raise ValueError("expected one of starts and cron")
        if (self.to is None) == (self.duration is None):
            raise ValueError("expected one of to and duration")
        if self.starts is not None:
            parse_local("starts", self.starts)
        if self.repeat is not None:
            if self.cron is not None:
                raise ValueError("repeat goes with starts, and cron repeats by itself")
            _named("repeat", parse_recurrence, self.repeat)
        if self.cron is not None:
            _check_cron(self.cron)
        if self.to is not None:
            parse_clock("to", self.to)
        self._check_duration()

    def _check_duration(self) -> None:
        length = check_period("duration", self.duration)
        longest = LONGEST_REPEATED if self.repeat or self.cron else LONGEST
        if length is not None and length > longest:
            raise ValueError(f"duration is {self.duration!r}, expected at most {longest.days}d")

    def occurrence(self, now: datetime) -> Occurrence | None:
        """Return the occurrence that contains `now`; None outside."""
        return next((each for each in self._near(now) if each.start <= now < each.end), None)

    def upcoming(self, now: datetime) -> Occurrence | None:
        """Return the occurrence that contains `now`, or the next one that starts within 62 days."""
        step = timedelta(days=1) if self.duration is None else parse_period(self.duration)
        at = now
        while at <= now + LOOKED_AHEAD:
            for each in self._near(at):
                if each.end > now:
                    return each
            at += max(step, timedelta(hours=3))
        return None

    def _near(self, now: datetime) -> Iterator[Occurrence]:
        zone = zone_called(self.zone)
        for local in self._starts(now):
            start = instant(local, zone)
            if self.duration is not None:
                yield Occurrence(start, start + parse_period(self.duration))
                continue
            ends = datetime.combine(local.date(), parse_clock("to", self.to or ""))
            if ends <= local:
                ends += timedelta(days=1)
            yield Occurrence(start, instant(ends, zone, last=True))

    def _starts(self, now: datetime) -> Iterator[datetime]:
        """The local starts of occurrences that may contain `now`."""
        longest = timedelta(days=1) if self.duration is None else parse_period(self.duration)
        oldest = (now - longest - timedelta(hours=3)).astimezone(zone_called(self.zone))
        if self.cron is not None:
            for aware in CronSim(self.cron, oldest):
                if aware > now:
                    return
                yield aware.replace(tzinfo=None)
        if self.starts is None:
            return
        first = parse_local("starts", self.starts)
        if self.repeat is None:
            yield first
            return
        occurs, day = parse_recurrence(self.repeat), oldest.date()
        while day <= now.astimezone(zone_called(self.zone)).date():
            if occurs(first.date(), day):
                yield datetime.combine(day, first.time())
            day += timedelta(days=1)


def in_maintenance(
    windows: tuple[Maintenance, ...], now: datetime
) -> list[tuple[Maintenance, Occurrence]]:
    """Return the windows that contain `now`, each with its occurrence."""
    found_at = ((window, window.occurrence(now)) for window in windows)
    return [(window, occurrence) for window, occurrence in found_at if occurrence is not None]


def _named(key: str, parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        raise ValueError(f"{key} is {text!r}: {error}") from error


def _check_cron(text: str) -> None:
    try:
        next(CronSim(text, _LEAP_YEAR))
    except (CronSimError, ValueError, StopIteration) as error:
        raise ValueError(
            f"cron is {text!r}, expected minute, hour, day, month and weekday, for example "
            "'0 22 * * sat'"
        ) from error
