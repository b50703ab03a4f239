"""Timestamps: values of sources to microseconds since 1970 UTC. No unit or zone is guessed."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from functions.normalize.columns import Column, as_list
from functions.normalize.mapping import Time
from functions.normalize.numbers import plain
from storage.errors import HoursightError

__all__ = ["MISSING", "InvalidTimestamp", "UnitMissing", "ZoneMissing", "micros"]

Micros = npt.NDArray[np.int64]
Refuse = Callable[[int, Any, "InvalidTimestamp"], None]

MISSING = np.iinfo(np.int64).min
_US = pa.timestamp("us", "UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d*)?\s*")
_TICK = timedelta(microseconds=1)
_PER_UNIT = {"epoch_s": 1e6, "epoch_ms": 1e3, "epoch_us": 1.0, "epoch_ns": 1e-3}
# Years 1970 to 2200: seconds taken for milliseconds, and the reverse, lie outside.
_LATEST_US = 7_258_118_400_000_000
_EARLIEST_US = 31_536_000_000_000


class InvalidTimestamp(HoursightError, ValueError):
    """A value that is not a time; the message says what is wrong with it."""

    remedy: str

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)


class NotATime(InvalidTimestamp):
    """A value of a kind that holds no time, such as a list."""

    def __init__(self) -> None:
        super().__init__("is not a time", "name a field that holds one in mapping.time.field")


class UnitMissing(InvalidTimestamp):
    """A number whose unit is not stated; it is never guessed."""

    def __init__(self, format: str) -> None:  # noqa: A002 - as the mapping calls it
        super().__init__(
            f"is a number, and the mapping says format = {format!r}",
            "write format = 'epoch_s', 'epoch_ms', 'epoch_us' or 'epoch_ns' in mapping.time",
        )


class ZoneMissing(InvalidTimestamp):
    """A time without a zone where none is stated for such times; it is never guessed."""

    def __init__(self) -> None:
        super().__init__(
            "has no zone", "write the zone of such times in mapping.time.zone, such as 'UTC'"
        )


def micros(column: Column, time: Time, refuse: Refuse) -> Micros:
    """The times of a column [n] in microseconds since 1970; MISSING where there is none.

    No unit and no zone is guessed. `refuse` takes the place of a value that is not a time by
    `time`, the value, and the error with its remedy.
    """
    fast = _fast(column, time)
    if fast is not None:
        return fast
    known: dict[Any, int] = {}
    times = np.full(len(column), MISSING)
    for i, value in enumerate(map(plain, as_list(column))):
        if value is None or value == "":
            continue
        try:
            if value not in known:
                known[value] = _micros(value, time)
            times[i] = known[value]
        except InvalidTimestamp as error:
            refuse(i, value, error)
        except TypeError:  # a list or a document
            refuse(i, value, NotATime())
    return times


def _fast(column: Column, time: Time) -> Micros | None:
    """A whole column at once; None where a value needs a closer look."""
    try:
        array = column if isinstance(column, pa.Array) else _array(column)
        if array is None:
            return None
        kind = array.type
        if pa.types.is_timestamp(kind):
            return None if kind.tz is None else _plain(array.cast(_US))
        if pa.types.is_string(kind) and time.format == "iso":
            return _plain(_zoned(array, time.zone))
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if number and time.format in _PER_UNIT and not array.null_count:
            with np.errstate(over="ignore", invalid="ignore"):  # infinity is looked at closer
                numbers = array.to_numpy(zero_copy_only=False).astype(np.float64)
                times = np.rint(numbers * _PER_UNIT[time.format])
            sound = (times > _EARLIEST_US) & (times < _LATEST_US)
            return times.astype(np.int64) if sound.all() else None
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


def _zoned(texts: pa.Array, zone: str | None) -> pa.Array:
    try:
        return texts.cast(_US)
    except pa.ArrowInvalid:
        if zone is None:
            raise
        return pc.assume_timezone(
            texts.cast(pa.timestamp("us")), zone, ambiguous="earliest", nonexistent="earliest"
        )


def _plain(times: pa.Array) -> Micros:
    whole = times.cast(pa.int64()).fill_null(MISSING)
    return np.asarray(whole.to_numpy(zero_copy_only=False), np.int64)


def _micros(value: Any, time: Time) -> int:
    if isinstance(value, datetime):
        return _from_datetime(value, time)
    if time.format in _PER_UNIT:
        return _from_epoch(value, time)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise UnitMissing(time.format)
    if not isinstance(value, str):
        raise NotATime()
    try:
        if time.format == "iso":
            return _from_datetime(datetime.fromisoformat(value.strip()), time)
        return _from_datetime(datetime.strptime(value.strip(), time.format), time)  # noqa: DTZ007
    except ValueError as error:
        if isinstance(error, InvalidTimestamp):
            raise
        if _NUMBER.fullmatch(value):
            raise UnitMissing(time.format) from error
        raise InvalidTimestamp(
            f"is not a time of format {time.format!r}", "write its format in mapping.time.format"
        ) from error


def _from_datetime(value: datetime, time: Time) -> int:
    if value.tzinfo is None:
        if time.zone is None:
            raise ZoneMissing()
        value = value.replace(tzinfo=ZoneInfo(time.zone))
    return (value - _EPOCH) // _TICK


def _from_epoch(value: Any, time: Time) -> int:
    try:
        if isinstance(value, bool):
            raise ValueError
        exact = value if isinstance(value, int) else float(value)
        us = round(exact * _PER_UNIT[time.format])
    except (TypeError, ValueError, OverflowError):
        raise InvalidTimestamp(
            f"is not a number, and the mapping says format = {time.format!r}",
            "write format = 'iso' or a pattern in mapping.time",
        ) from None
    if not _EARLIEST_US < us < _LATEST_US:
        raise InvalidTimestamp(
            f"as {time.format} is not a year from 1971 to 2199",
            "write another of epoch_s, epoch_ms, epoch_us and epoch_ns in mapping.time.format",
        )
    return us
