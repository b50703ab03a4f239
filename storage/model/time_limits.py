"""Time limits: how old a sample may be, how far ahead of the clock, and what a time means else."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

__all__ = [
    "STOCK_LIMITS",
    "UNITS_US",
    "WIDEST",
    "TimeLimits",
    "TimeProblem",
    "TimeRange",
    "age_s",
    "in_words",
    "utc_text",
]

# Microseconds in one of each unit in which senders count from 1970.
UNITS_US = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
CHECK_CLOCK = "check the sender's clock"
UNSET = "send the time of the sample: this is one that was never set"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LARGEST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_SMALLEST_US = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_WORDS = (("year", 365 * 86_400), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


class TimeProblem(NamedTuple):
    """Why a time cannot be true, the unit in which its number could be, and the remedy."""

    reason: str
    unit: str | None
    remedy: str


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The times that can be true, both ends included, in microseconds since 1970."""

    earliest_us: int
    latest_us: int
    too_early: str
    too_late: str

    def unit_of(self, number: float) -> str | None:
        """The unit in which `number` is within the range: one, or None."""
        number = _float(number)
        fits = (
            unit
            for unit, us in UNITS_US.items()
            if self.earliest_us <= number * us <= self.latest_us
        )
        return next(fits, None)

    def problem(self, ts_us: float, number: float | None = None) -> TimeProblem | None:
        """What is wrong with a time [microseconds since 1970]; None within the range.

        `number` is what was sent, where the time is one whose unit may be another.
        """
        if self.earliest_us <= ts_us <= self.latest_us:
            return None
        unit = None if number is None else self.unit_of(number)
        if ts_us > self.latest_us:
            return TimeProblem(self.too_late, unit, CHECK_CLOCK)
        if ts_us == 0 or ts_us < _SMALLEST_US + 86_400e6:  # 1970-01-01, or the year 1
            return TimeProblem(self.too_early, unit, UNSET)
        mistaken = self._mistaken_unit(ts_us) if number is None else None
        remedy = f"{CHECK_CLOCK}; for true times so old raise max_age below [times] in the settings"
        return TimeProblem(self.too_early, unit, mistaken or remedy)

    def readings(self, number: float) -> str:
        """What a number means in each unit: `2026-11-28 10:46:02 in s, … in ms, …`."""
        number = _float(number)
        return ", ".join(f"{utc_text(number * us)} in {unit}" for unit, us in UNITS_US.items())

    def _mistaken_unit(self, ts_us: float) -> str | None:
        """The remedy for seconds that somebody took for milliseconds, and the like."""
        for factor in (1e3, 1e6, 1e9):
            if self.earliest_us <= ts_us * factor <= self.latest_us:
                return (
                    f"a time {factor:,.0f} times as far from 1970 could be true: state the unit in "
                    "which the sender counts"
                )
        return None


# Where no clock says what is old: seconds taken for milliseconds, and the reverse, lie outside.
_YEARS = "is not a year from 1971 to 2199"
WIDEST = TimeRange(31_536_000_000_000, 7_258_118_400_000_000, _YEARS, _YEARS)


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How old a sample may be when it comes, and how far ahead of this host's clock."""

    max_age: timedelta = timedelta(days=3650)
    max_ahead: timedelta = timedelta(minutes=5)

    def at(self, now: datetime) -> TimeRange:
        """The times that can be true at `now`."""
        return TimeRange(
            (now - self.max_age - _EPOCH) // _MICROSECOND,
            (now + self.max_ahead - _EPOCH) // _MICROSECOND,
            f"is older than {in_words(self.max_age)}",
            f"lies more than {in_words(self.max_ahead)} in the future",
        )


STOCK_LIMITS = TimeLimits()


def _float(number: float) -> float:
    """A number that can be multiplied: an integer may have hundreds of digits."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def age_s(ts: datetime, now: datetime) -> float:
    """The age of a time [s]; 0 for one that a clock ahead of ours gave."""
    return max(0.0, (now - ts).total_seconds())


def in_words(period: timedelta) -> str:
    """A period in the largest unit that divides it: `10 years`, `5 minutes`."""
    seconds = period.total_seconds()
    for word, size in _WORDS:
        count = seconds / size
        if count >= 1 and count == int(count):
            return f"{count:g} {word}{'' if count == 1 else 's'}"
    return f"{seconds:g} seconds"


def utc_text(ts_us: float) -> str:
    """A time [microseconds since 1970] for a reader, to the second."""
    if not _SMALLEST_US <= ts_us <= _LARGEST_US:
        return "after the year 9999" if ts_us > 0 else "before the year 1"
    return (_EPOCH + timedelta(seconds=ts_us // 1e6)).isoformat(" ", "seconds")[:19]
