"""Times out of values: microseconds since 1970 UTC, and refusals in words."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from functions.normalize.mapping import Time
from functions.normalize.numbers import plain
from storage.errors import HoursightError

__all__ = ["MISSING", "micros"]

Micros = npt.NDArray[np.int64]
Refuse = Callable[[int, Any, str, str], None]

MISSING = np.iinfo(np.int64).min
_US = pa.timestamp("us", "UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_PER_UNIT = {"epoch_s": 1e6, "epoch_ms": 1e3, "epoch_us": 1.0, "epoch_ns": 1e-3}
# Years 1970 to 2200: seconds taken for milliseconds, and the reverse, lie outside.
_LATEST_US = 7_258_118_400_000_000
_EARLIEST_US = 31_536_000_000_000


class InvalidTimestamp(HoursightError, ValueError):
    """A value that is no time; the message is what is wrong and the remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)


def micros(column: Sequence[Any], time: Time, refuse: Refuse) -> Micros:
    """The times of a column [n]; MISSING where there is none, `refuse` is told of what is none."""
    kinds = set(map(type, column))
    fast = _fast(column, kinds, time)
    if fast is not None:
        return fast
    memory: dict[Any, int] = {}
    found = np.full(len(column), MISSING)
    for i, value in enumerate(map(plain, column)):
        if value is None or value == "":
            continue
        try:
            if value not in memory:
                memory[value] = _micros(value, time)
            found[i] = memory[value]
        except InvalidTimestamp as wrong:
            refuse(i, value, wrong.message, wrong.remedy or "")
        except TypeError:  # a list or a document
            refuse(i, value, "is no time", "name a field that holds one in mapping.time.field")
    return found


def _fast(column: Sequence[Any], kinds: set[type], time: Time) -> Micros | None:
    """A whole column at once; None when a value of it needs a closer look."""
    try:
        if kinds == {datetime} and not any(v.tzinfo is None for v in column):
            return _plain(pa.array(column, _US))
        if kinds == {str} and time.format == "iso":
            return _plain(_zoned(pa.array(column), time.zone))
        if kinds <= {int, float} and time.format in _PER_UNIT:
            with np.errstate(over="ignore"):  # infinity is looked at closer
                found = np.rint(np.array(column, np.float64) * _PER_UNIT[time.format])
            sound = (found > _EARLIEST_US) & (found < _LATEST_US)
            return found.astype(np.int64) if sound.all() else None
    except (pa.ArrowInvalid, OverflowError, ValueError):
        return None
    return None


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
    found: Micros = times.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return found


def _micros(value: Any, time: Time) -> int:
    if isinstance(value, datetime):
        return _from_datetime(value, time)
    if time.format in _PER_UNIT:
        return _from_epoch(value, time)
    if not isinstance(value, str):
        raise InvalidTimestamp(
            f"is a number, and the mapping says format = {time.format!r}",
            "write format = 'epoch_s', 'epoch_ms', 'epoch_us' or 'epoch_ns' in mapping.time",
        )
    try:
        if time.format == "iso":
            return _from_datetime(datetime.fromisoformat(value.strip()), time)
        return _from_datetime(datetime.strptime(value.strip(), time.format), time)  # noqa: DTZ007
    except ValueError as error:
        if isinstance(error, InvalidTimestamp):
            raise
        raise InvalidTimestamp(
            f"is no time of format {time.format!r}", "write its format in mapping.time.format"
        ) from error


def _from_datetime(value: datetime, time: Time) -> int:
    if value.tzinfo is None:
        if time.zone is None:
            raise InvalidTimestamp(
                "has no zone", "write the zone of such times in mapping.time.zone, such as 'UTC'"
            )
        value = value.replace(tzinfo=ZoneInfo(time.zone))
    return (value - _EPOCH) // _TICK


def _from_epoch(value: Any, time: Time) -> int:
    try:
        if isinstance(value, bool):
            raise ValueError
        exact = value if isinstance(value, int) else float(value)
        found = round(exact * _PER_UNIT[time.format])
    except (TypeError, ValueError, OverflowError):
        raise InvalidTimestamp(
            f"is no number, and the mapping says format = {time.format!r}",
            "write format = 'iso' or a pattern in mapping.time",
        ) from None
    if not _EARLIEST_US < found < _LATEST_US:
        raise InvalidTimestamp(
            f"as {time.format} is no year from 1971 to 2199",
            "write another of epoch_s, epoch_ms, epoch_us and epoch_ns in mapping.time.format",
        )
    return found
