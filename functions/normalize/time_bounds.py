"""Bounds for queries: times in the form in which a source stores them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from functions.normalize.local_time import repeated_span
from functions.normalize.mapping import Time
from functions.normalize.timestamps import MISSING, micros

__all__ = ["before", "caught_up", "newest", "resumed", "since", "unordered"]

_PER_SECOND = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000, "epoch_ns": 1_000_000_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def newest(values: Sequence[Any], time: Time, limit: datetime) -> Any | None:
    """Return the last of these ordered values that is a time up to `limit`; None without one.

    Text such as "unknown" sorts after any time, so values that are not times are skipped.
    """
    for value in reversed(values):
        ts = _timestamp(value, time)
        if ts is not None and ts <= limit:
            return value
    return None


def before(value: Any, span: timedelta, time: Time) -> Any:
    """Return the time `span` before `value`, in its form; to the second where that is text."""
    if isinstance(value, datetime):
        return value - span
    if isinstance(value, str):
        ts = _parsed(value, time)
        return value if ts is None else _formatted(_earlier(ts, span, time), value, time)
    if time.format not in _PER_SECOND:
        return value
    return value - span.total_seconds() * _PER_SECOND[time.format]


def since(ts: datetime, like: Any, time: Time) -> Any:
    """Return `ts` in the form of the value `like`; None where its form is not known."""
    if isinstance(like, datetime):
        return ts
    if isinstance(like, str):
        sample = _parsed(like, time)
        if sample is None:
            return None
        local = ts.astimezone(sample.tzinfo or ZoneInfo(time.zone or "UTC"))
        return _formatted(local, like, time)
    if time.format not in _PER_SECOND:
        return None
    return ts.timestamp() * _PER_SECOND[time.format]


def resumed(ts: datetime, now: datetime, max_ahead: timedelta) -> datetime:
    """Return where reading goes on after `ts`: there, or before `now` where it lies in the future.

    That is so after this host's clock was ahead and is right again. What came meanwhile from
    senders whose clocks were right lies before `now`, as far as `ts` lies after it.
    """
    return ts if ts <= now + max_ahead else now - (ts - now)


def caught_up(value: Any, now: datetime, max_ahead: timedelta, time: Time) -> Any:
    """Return `resumed` of a time as the source stores it, in its form."""
    ts = _timestamp(value, time)
    if ts is None or ts <= now + max_ahead:
        return value
    return since(resumed(ts, now, max_ahead), value, time)


def unordered(kind: str, field: str, time: Time) -> str | None:
    """Say why times of a kind (`date`, `text`, `number`) cannot be read in order; None if they can.

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


def _earlier(ts: datetime, span: timedelta, time: Time) -> datetime:
    """`span` before a time as written; before the hour that a clock set back repeats after it.

    The second pass of that hour comes after its first, and sorts among it.
    """
    repeated = None if ts.tzinfo or time.zone is None else repeated_span(ts, time.zone)
    if repeated is None or ts - span >= repeated[1]:
        return ts - span
    return min(ts - span, repeated[0])


def _timestamp(value: Any, time: Time) -> datetime | None:
    since_epoch_us = int(micros([value], time, lambda *_: None)[0])
    return None if since_epoch_us == MISSING else _EPOCH + timedelta(microseconds=since_epoch_us)


def _parsed(value: str, time: Time) -> datetime | None:
    """Parse a text as written, with or without a zone; None if it is not a time."""
    try:
        if time.format == "iso":
            return datetime.fromisoformat(value.strip())
        return datetime.strptime(value.strip(), time.format)  # noqa: DTZ007 - compared as text only
    except ValueError:
        return None


def _formatted(ts: datetime, like: str, time: Time) -> str:
    """Format `ts` so that it sorts before all later times written like `like`."""
    if time.format != "iso":
        return ts.strftime(time.format)
    if len(like.strip()) == len("2026-05-06"):
        return ts.strftime("%Y-%m-%d")
    separator = like.strip()[10:11] or "T"
    return ts.strftime(f"%Y-%m-%d{separator}%H:%M:%S")
