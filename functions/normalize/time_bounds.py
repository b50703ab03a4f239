"""Times in the form in which a source holds them, so that it can be asked for what is later."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from functions.normalize.mapping import Time
from functions.normalize.timestamps import MISSING, micros

__all__ = ["before", "newest", "since", "unordered"]

_PER_SECOND = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000, "epoch_ns": 1_000_000_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def newest(values: Sequence[Any], time: Time, limit: datetime) -> Any | None:
    """The last of these ordered values that is a time and not after `limit`; None without one.

    A value that is none must not lead: text such as "unknown" is larger than any time.
    """
    for value in reversed(values):
        moment = _moment(value, time)
        if moment is not None and moment <= limit:
            return value
    return None


def before(value: Any, span: timedelta, time: Time) -> Any:
    """The time that lies `span` before `value`, in its form; to the second where that is text."""
    if isinstance(value, datetime):
        return value - span
    if isinstance(value, str):
        moment = _read(value, time)
        return value if moment is None else _written(moment - span, value, time)
    if time.format not in _PER_SECOND:
        return value
    return value - span.total_seconds() * _PER_SECOND[time.format]


def since(moment: datetime, like: Any, time: Time) -> Any:
    """`moment` in the form of the value `like`; None where that form cannot be told."""
    if isinstance(like, datetime):
        return moment
    if isinstance(like, str):
        sample = _read(like, time)
        if sample is None:
            return None
        local = moment if sample.tzinfo else moment.replace(tzinfo=None)
        return _written(local.astimezone(sample.tzinfo) if sample.tzinfo else local, like, time)
    if time.format not in _PER_SECOND:
        return None
    return moment.timestamp() * _PER_SECOND[time.format]


def unordered(kind: str, field: str, time: Time) -> str | None:
    """Why times of a kind (`date`, `text` or `number`) cannot be read in order; None when they can.

    Text has to sort by time, and a number needs its unit.
    """
    epoch = time.format in _PER_SECOND
    if kind == "number" and not epoch:
        return (
            f"mapping.time.format is {time.format!r}, and the source holds {field!r} as a number: "
            f"write one of {', '.join(_PER_SECOND)}"
        )
    if kind == "text" and (epoch or not (time.format == "iso" or time.format.startswith("%Y"))):
        return (
            f"mapping.time.format is {time.format!r}, and the source holds {field!r} as text, "
            "which in that form does not sort by time: name another field, or have dates stored"
        )
    return None


def _moment(value: Any, time: Time) -> datetime | None:
    found = int(micros([value], time, lambda *_: None)[0])
    return None if found == MISSING else _EPOCH + timedelta(microseconds=found)


def _read(value: str, time: Time) -> datetime | None:
    """The time in a text as it stands there, with or without a zone."""
    try:
        if time.format == "iso":
            return datetime.fromisoformat(value.strip())
        return datetime.strptime(value.strip(), time.format)  # noqa: DTZ007 - compared as text only
    except ValueError:
        return None


def _written(moment: datetime, like: str, time: Time) -> str:
    """A text that sorts before all later times that are written like `like`."""
    if time.format != "iso":
        return moment.strftime(time.format)
    separator = like.strip()[10:11] or "T"
    return moment.strftime(f"%Y-%m-%d{separator}%H:%M:%S")
