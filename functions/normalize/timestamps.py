"""Timestamps: values of sources to microseconds since 1970 UTC. No unit or zone is guessed."""

import re
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from functions.normalize.columns import Column, as_list
from functions.normalize.local_time import LocalClock
from functions.normalize.mapping import Time
from functions.normalize.numbers import plain
from storage.errors import HoursightError
from storage.model.time_limits import WIDEST, TimeProblem, TimeRange, utc_text

__all__ = [
    "MISSING",
    "InvalidTimestamp",
    "Micros",
    "Series",
    "TimeOutside",
    "UnitMissing",
    "ZoneMissing",
    "micros",
]

Micros = npt.NDArray[np.int64]
Refuse = Callable[[int, Any, "InvalidTimestamp"], None]

MISSING = np.iinfo(np.int64).min
_US = pa.timestamp("us", "UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d*)?\s*")
_TICK = timedelta(microseconds=1)
_PER_UNIT = {"epoch_s": 1e6, "epoch_ms": 1e3, "epoch_us": 1.0, "epoch_ns": 1e-3}
_LARGEST_US = 2**62  # far outside of every range, and still a number of 64 bits
_SHOWN_LENGTH = 60


class InvalidTimestamp(HoursightError, ValueError):
    """A value that is not a time; the message says what is wrong with it."""

    remedy: str

    def __init__(self, what: str, remedy: str, readings: str = "") -> None:
        super().__init__(what, remedy)
        self._readings = readings

    def shown(self, value: Any) -> str:
        """The value for a reader; of a number what it means in each unit."""
        text = repr(value)
        text = text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 1] + "…"
        return f"{text} ({self._readings})" if self._readings else text


class NotATime(InvalidTimestamp):
    """A value of a kind that holds no time, such as a list."""

    def __init__(self) -> None:
        super().__init__("is not a time", "name a field that holds one in mapping.time.field")


class UnitMissing(InvalidTimestamp):
    """A number whose unit is not stated; it is never guessed."""

    def __init__(self, format: str, number: float, within: TimeRange) -> None:  # noqa: A002
        unit = within.unit_of(number)
        formats = f"'epoch_{unit}'" if unit else "'epoch_s', 'epoch_ms', 'epoch_us' or 'epoch_ns'"
        super().__init__(
            f"is a number, and the mapping says format = {format!r}",
            f"write format = {formats} in mapping.time",
            within.readings(number),
        )


class ZoneMissing(InvalidTimestamp):
    """A time without a zone where none is stated for such times; it is never guessed."""

    def __init__(self) -> None:
        super().__init__(
            "has no zone", "write the zone of such times in mapping.time.zone, such as 'UTC'"
        )


class TimeSkipped(InvalidTimestamp):
    """A local time that does not exist, because the clock was set forward over it."""

    def __init__(self, zone: str) -> None:
        super().__init__(
            f"does not exist in {zone}, where the clock was set forward over it",
            "write times with their zone, or in mapping.time.zone the zone in which they are",
        )


class TimeOutside(InvalidTimestamp):
    """A time that cannot be true: too old, or in the future."""

    def __init__(self, problem: TimeProblem, time: Time, readings: str) -> None:
        remedy = problem.remedy
        if problem.unit is not None:
            remedy = f"write format = 'epoch_{problem.unit}' in mapping.time"
        self.problem = problem
        stated = f"as {time.format} " if time.format in _PER_UNIT else ""
        super().__init__(stated + problem.reason, remedy, readings)


class Series(NamedTuple):
    """What orders local times [n]: the clock of their source, and the series of each."""

    clock: LocalClock
    keys: Sequence[Hashable] | None = None
    # Takes the first of some times that nothing tells apart, its value, and their number.
    assumed: Callable[[int, Any, int], None] = lambda *_: None


def micros(
    column: Column,
    time: Time,
    refuse: Refuse,
    within: TimeRange = WIDEST,
    series: Series | None = None,
) -> Micros:
    """The times of a column [n] in microseconds since 1970; MISSING where there is none.

    No unit and no zone is guessed. `refuse` takes the place of a value that is not a time by
    `time`, or not `within` the times that can be true, the value, and the error with its remedy.
    `series` orders local times; without it the column is one series.
    """
    times, local = _fast(column, time) or _by_value(column, time, refuse, within)
    if local.any():
        _resolve(column, times, local, time, refuse, within, series)
    outside = (times != MISSING) & ((times < within.earliest_us) | (times > within.latest_us))
    for i in np.flatnonzero(outside).tolist():
        value = _original(column, i, times)
        refuse(i, value, _outside(value, int(times[i]), time, within))
    times[outside] = MISSING
    return times


def _by_value(
    column: Column, time: Time, refuse: Refuse, within: TimeRange
) -> tuple[Micros, npt.NDArray[np.bool_]]:
    """The times of a column, and a mask of those that are local."""
    known: dict[Any, tuple[int, bool]] = {}
    times, local = np.full(len(column), MISSING), np.zeros(len(column), bool)
    for i, value in enumerate(map(plain, as_list(column))):
        if value is None or value == "":
            continue
        try:
            if value not in known:
                known[value] = _micros(value, time, within)
            times[i], local[i] = known[value]
        except InvalidTimestamp as error:
            refuse(i, value, error)
        except TypeError:  # a list or a document
            refuse(i, value, NotATime())
    return times, local


def _resolve(
    column: Column,
    times: Micros,
    local: npt.NDArray[np.bool_],
    time: Time,
    refuse: Refuse,
    within: TimeRange,
    series: Series | None,
) -> None:
    """Put UTC in the place of the local times."""
    places = np.flatnonzero(local)
    if time.zone is None:
        times_in_utc, skipped = np.full(len(places), MISSING), np.ones(len(places), bool)
        error: InvalidTimestamp = ZoneMissing()
    else:
        series = series or Series(LocalClock(time.zone))
        keys = None if series.keys is None else [series.keys[i] for i in places.tolist()]
        resolved = series.clock.utc(times[places], keys, within.latest_us)
        times_in_utc, skipped, error = resolved.utc, resolved.skipped, TimeSkipped(time.zone)
        if resolved.assumed.any():
            first = int(places[resolved.assumed.argmax()])
            series.assumed(first, _original(column, first, times), int(resolved.assumed.sum()))
    for i in places[skipped].tolist():
        refuse(i, _original(column, i, times), error)
    times[places] = np.where(skipped, MISSING, times_in_utc)


def _original(column: Column, i: int, times: Micros) -> Any:
    """The value at a place as it was sent; a time of Arrow as text, as Python has no year 10000."""
    if isinstance(column, pa.Array):
        return utc_text(int(times[i])) if pa.types.is_timestamp(column.type) else column[i].as_py()
    return plain(column[i])


def _outside(value: Any, ts_us: int, time: Time, within: TimeRange) -> TimeOutside:
    number = None
    if time.format in _PER_UNIT and not isinstance(value, datetime):
        number = float(value)
    problem = within.problem(ts_us, number)
    assert problem is not None
    return TimeOutside(problem, time, "" if number is None else within.readings(number))


def _fast(column: Column, time: Time) -> tuple[Micros, npt.NDArray[np.bool_]] | None:
    """A whole column at once, and which of it is local; None where a value needs a closer look."""
    try:
        array = column if isinstance(column, pa.Array) else _array(column)
        if array is None:
            return None
        kind = array.type
        if pa.types.is_timestamp(kind):
            times = _plain(array.cast(pa.timestamp("us", kind.tz)))
            return times, (times != MISSING) & (kind.tz is None)
        if pa.types.is_string(kind) and time.format == "iso":
            return _zoned(array, time.zone)
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if number and time.format in _PER_UNIT and not array.null_count:
            with np.errstate(over="ignore", invalid="ignore"):  # infinity is looked at closer
                numbers = array.to_numpy(zero_copy_only=False).astype(np.float64)
                whole = np.rint(numbers * _PER_UNIT[time.format])
            sound = np.abs(whole) < _LARGEST_US
            return (whole.astype(np.int64), np.zeros(len(whole), bool)) if sound.all() else None
    except (pa.ArrowInvalid, OverflowError, ValueError):
        return None
    return None


def _array(column: Sequence[Any]) -> pa.Array | None:
    """Values of one kind as an array; None for others."""
    kinds = set(map(type, column))
    if kinds == {datetime}:
        naive = any(v.tzinfo is None for v in column)
        return None if naive else pa.array(column, _US)
    if kinds == {str}:
        return pa.array(column)
    return pa.array(np.array(column, np.float64)) if kinds and kinds <= {int, float} else None


def _zoned(texts: pa.Array, zone: str | None) -> tuple[Micros, npt.NDArray[np.bool_]]:
    try:
        return _plain(texts.cast(_US)), np.zeros(len(texts), bool)
    except pa.ArrowInvalid:
        if zone is None:
            raise
        times = _plain(texts.cast(pa.timestamp("us")))
        return times, times != MISSING


def _plain(times: pa.Array) -> Micros:
    whole = times.cast(pa.int64()).fill_null(MISSING)
    return np.array(whole.to_numpy(zero_copy_only=False), np.int64)


def _micros(value: Any, time: Time, within: TimeRange) -> tuple[int, bool]:
    """The time of a value, and whether it is local."""
    if isinstance(value, datetime):
        return _from_datetime(value)
    if time.format in _PER_UNIT:
        return _from_epoch(value, time), False
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise UnitMissing(time.format, value, within)
    if not isinstance(value, str):
        raise NotATime()
    number = _NUMBER.fullmatch(value)
    try:
        if time.format == "iso" and not number:  # "1710123112345" could be read as a year 1710
            return _from_datetime(datetime.fromisoformat(value.strip()))
        if time.format != "iso":
            return _from_datetime(datetime.strptime(value.strip(), time.format))  # noqa: DTZ007
    except ValueError:
        pass
    if number:
        raise UnitMissing(time.format, float(value), within)
    raise InvalidTimestamp(
        f"is not a time of format {time.format!r}", "write its format in mapping.time.format"
    )


def _from_datetime(value: datetime) -> tuple[int, bool]:
    if value.tzinfo is None:
        return (value.replace(tzinfo=UTC) - _EPOCH) // _TICK, True
    return (value - _EPOCH) // _TICK, False


def _from_epoch(value: Any, time: Time) -> int:
    try:
        if isinstance(value, bool):
            raise ValueError
        exact = value if isinstance(value, int) else float(value)
        return max(-_LARGEST_US, min(_LARGEST_US, round(exact * _PER_UNIT[time.format])))
    except (TypeError, ValueError, OverflowError):
        raise InvalidTimestamp(
            f"is not a number, and the mapping says format = {time.format!r}",
            "write format = 'iso' or a pattern in mapping.time",
        ) from None
