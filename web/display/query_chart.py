"""Chart of a query's rows: its time column is the x axis, its numbers are lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import types

__all__ = ["HEIGHT", "MAX_SERIES", "WIDTH", "QueryChart", "Series", "query_chart"]

WIDTH, HEIGHT = 900, 240
MAX_SERIES = 6
MAX_POINTS = 1500  # of a line: more than the pixels of a screen
MAX_VALUE = 1e300  # beyond it the range of the axis has no number
TICKS = 5
US_PER_S = 1_000_000
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its name, its SVG path, and its newest value."""

    name: str
    path: str
    last: float


@dataclass(frozen=True, slots=True)
class QueryChart:
    """Lines over time; `now` is the x of the present, None where it is not on the axis.

    `left_out` is the number of lines that are not drawn.
    """

    time: str
    series: tuple[Series, ...]
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    now: float | None
    left_out: int


def query_chart(rows: pa.Table, now: datetime) -> QueryChart | None:
    """Return the chart of rows with a time and a number; None for others."""
    time = next((f.name for f in rows.schema if _is_time(f.type)), None)
    if time is None or len(set(rows.column_names)) < rows.num_columns:
        return None
    seconds = _seconds(rows.column(time))
    known = np.isfinite(seconds)
    if np.unique(seconds[known]).size < 2:
        return None
    lines = [
        (name, np.where(known & (np.abs(values) < MAX_VALUE), values, np.nan))
        for name, values in _lines(rows, time)
    ]
    lines = [(name, values) for name, values in lines if np.isfinite(values).any()]
    if not lines:
        return None
    start, end = float(np.nanmin(seconds)), float(np.nanmax(seconds))
    drawn = lines[:MAX_SERIES]
    low, high = _range([values for _, values in drawn])
    xs = (seconds - start) / (end - start) * WIDTH
    at = (now.timestamp() - start) / (end - start) * WIDTH
    return QueryChart(
        time, tuple(_series(name, xs, values, low, high) for name, values in drawn), low, high,
        _ticks(start, end), at if 0 <= at <= WIDTH else None, len(lines) - len(drawn),
    )  # fmt: skip


def _lines(rows: pa.Table, time: str) -> list[tuple[str, Floats]]:
    """The numbers by column, or the only ones by the only column of texts."""
    numbers = [f.name for f in rows.schema if f.name != time and _is_number(f.type)]
    texts = [f.name for f in rows.schema if types.is_string(f.type)]
    if len(numbers) == 1 and len(texts) == 1:
        return _by_text(rows.column(texts[0]), _floats(rows.column(numbers[0])))
    return [(name, _floats(rows.column(name))) for name in numbers]


def _by_text(texts: pa.ChunkedArray, values: Floats) -> list[tuple[str, Floats]]:
    encoded = texts.combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return [
        (str(name), np.where(codes == code, values, np.nan))
        for code, name in enumerate(encoded.dictionary.to_pylist())
    ]


def _series(name: str, xs: Floats, values: Floats, low: float, high: float) -> Series:
    present = np.isfinite(values)
    x, y = xs[present], values[present]
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    every = max(1, -(-x.size // MAX_POINTS))
    ys = HEIGHT - (y[::every] - low) / (high - low) * HEIGHT
    points = [f"{px:.1f} {py:.1f}" for px, py in zip(x[::every], ys, strict=True)]
    path = "M" + "L".join(points) if len(points) > 1 else f"M{points[0]}h1"
    return Series(name, path, float(y[-1]))


def _range(values: Sequence[Floats]) -> tuple[float, float]:
    """The range of the values; from 0 up unless they are far from it."""
    every = np.concatenate(values)
    every = every[np.isfinite(every)]
    low, high = float(every.min()), float(every.max())
    if 0 < low < high / 2:
        low = 0.0
    room = max(1.0, abs(low) / 100)
    return (low, high) if high > low else (low - room, high + room)


def _ticks(start: float, end: float) -> tuple[tuple[float, str], ...]:
    span = end - start
    form = "%H:%M" if span < 86_400 else "%d %b %H:%M" if span < 7 * 86_400 else "%Y-%m-%d"
    return tuple(
        (WIDTH * i / (TICKS - 1), _clock(start + span * i / (TICKS - 1), form))
        for i in range(TICKS)
    )


def _clock(seconds: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):  # a year that no calendar of Python's has
        return f"{seconds:.0f} s"


def _seconds(column: pa.ChunkedArray) -> Floats:
    whole = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
    values = whole.to_numpy(zero_copy_only=False).astype(np.float64)
    values[np.abs(values) > 9e18] = np.nan  # infinity, and NULL
    return np.asarray(values / US_PER_S, np.float64)


def _floats(column: pa.ChunkedArray) -> Floats:
    values: Any = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.array(values, np.float64)


def _is_time(kind: pa.DataType) -> bool:
    return bool(types.is_timestamp(kind) or types.is_date(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))
