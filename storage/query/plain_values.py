"""Values of Arrow columns as JSON has them: numbers exactly, everything else as text.

Text is what DuckDB reads again: `CAST('…' AS INTERVAL)`.
"""

import json
import math
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import types

__all__ = ["json_text", "plain_values"]

UNITS_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
NS_PER_S = UNITS_PER_S["ns"]
# Bytes that the text of a BLOB has as they are: printable, without quotes and the escape.
PRINTABLE = frozenset(range(0x20, 0x7F)) - set(b"\"'\\")


def json_text(value: Any) -> str:
    """One of `plain_values` as JSON; numbers that JSON has no sign for are text, such as "NaN"."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(name)}: {json_text(v)}" for name, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(json_text(v) for v in value) + "]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float) and not math.isfinite(value):
        return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'
    return json.dumps(value)


def plain_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """The values as None, bool, int, float, Decimal, str, and of these lists and dicts."""
    if isinstance(column, pa.ChunkedArray):
        return [value for chunk in column.chunks for value in plain_values(chunk)]
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    kind = column.type
    if types.is_dictionary(kind):
        return plain_values(column.dictionary_decode())
    for belongs, plain in PLAIN:
        if belongs(kind):
            values = plain(column)
            valid = column.is_valid().to_pylist()
            return [value if v else None for value, v in zip(values, valid, strict=True)]
    return list(column.to_pylist())


def _lists(column: pa.Array) -> list[Any]:
    values, offsets = plain_values(column.values), column.offsets.to_pylist()
    return [values[a:b] for a, b in pairwise(offsets)]


def _fixed_lists(column: pa.Array) -> list[Any]:
    values, size = plain_values(column.values), column.type.list_size
    starts = range(size * column.offset, size * (column.offset + len(column)), size)
    return [values[a : a + size] for a in starts]


def _maps(column: pa.Array) -> list[Any]:
    keys = [key if isinstance(key, str) else json_text(key) for key in plain_values(column.keys)]
    items, offsets = plain_values(column.items), column.offsets.to_pylist()
    return [dict(zip(keys[a:b], items[a:b], strict=True)) for a, b in pairwise(offsets)]


def _structs(column: pa.Array) -> list[Any]:
    """Dicts; lists where the fields have no names, as those of `row(1, 2)`."""
    names = [column.type.field(i).name for i in range(column.type.num_fields)]
    fields = [plain_values(column.field(i)) for i in range(len(names))]
    rows = [list(row) for row in zip(*fields, strict=True)]
    if len(set(names) - {""}) < len(names):
        return rows
    return [dict(zip(names, row, strict=True)) for row in rows]


def _unions(column: pa.Array) -> list[Any]:
    """A dict with one entry: the name of the value's type, and the value. Unions are sparse."""
    names = [column.type.field(i).name for i in range(column.type.num_fields)]
    fields = [plain_values(column.field(i)) for i in range(len(names))]
    codes = column.type_codes.to_pylist()
    return [{names[code]: fields[code][i]} for i, code in enumerate(codes)]


def _dates(column: pa.Array) -> list[Any]:
    days = _integers(column, np.int32, pa.int32())
    return _instants(days, "D", infinity=np.iinfo(np.int32).max)


def _timestamps(column: pa.Array) -> list[Any]:
    """Times as `2026-05-06 12:00:30.25`, with a zone in UTC and a Z."""
    at = _instants(
        _integers(column, np.int64, pa.int64()), column.type.unit, np.iinfo(np.int64).max
    )
    zoned = column.type.tz is not None
    return [f"{text}Z" if zoned and "infinity" not in text else text for text in at]


def _instants(values: "np.ndarray[Any, Any]", unit: str, infinity: int) -> list[str]:
    """ISO 8601 of any year; years before 1 as SQL has them, `0044-03-15 (BC)`."""
    ends = {infinity: "infinity", -infinity: "-infinity"}
    texts = np.datetime_as_string(values.astype("int64").view(f"datetime64[{unit}]"))
    return [
        ends.get(value) or _instant(text)
        for value, text in zip(values.tolist(), texts.tolist(), strict=True)
    ]


def _instant(text: str) -> str:
    date, _, time = text.partition("T")
    year, month, day = date.rsplit("-", 2)
    if int(year) < 1:
        date = f"{1 - int(year):04}-{month}-{day} (BC)"
    return f"{date} {_trimmed(time)}" if time else date


def _times(column: pa.Array) -> list[Any]:
    size = np.int64 if types.is_time64(column.type) else np.int32
    values = _integers(column, size, pa.int64() if size is np.int64 else pa.int32())
    return [_clock(v, UNITS_PER_S[column.type.unit]) for v in values.tolist()]


def _clock(value: int, per_s: int) -> str:
    seconds, fraction = divmod(value, per_s)
    minutes, second = divmod(seconds, 60)
    digits = f".{fraction:0{len(str(per_s)) - 1}}" if fraction else ""
    return _trimmed(f"{minutes // 60:02}:{minutes % 60:02}:{second:02}{digits}")


def _trimmed(time: str) -> str:
    """The time without the zeros at the end of its fraction."""
    return time.rstrip("0").rstrip(".") if "." in time else time


def _intervals(column: pa.Array) -> list[Any]:
    return [_interval(*(value or (0, 0, 0))) for value in column.to_pylist()]


def _interval(months: int, days: int, nanoseconds: int) -> str:
    parts = [f"{n} {unit}" for n, unit in ((months, "months"), (days, "days")) if n]
    if nanoseconds or not parts:
        parts.append(("-" if nanoseconds < 0 else "") + _clock(abs(nanoseconds), NS_PER_S))
    return " ".join(parts)


def _blobs(column: pa.Array) -> list[Any]:
    return [_blob(value or b"") for value in column.to_pylist()]


def _blob(value: bytes) -> str:
    return "".join(chr(byte) if byte in PRINTABLE else f"\\x{byte:02X}" for byte in value)


def _integers(column: pa.Array, size: Any, kind: pa.DataType) -> "np.ndarray[Any, Any]":
    """The numbers that an array of times stores, 0 where it is NULL."""
    values = column.view(kind).fill_null(0).to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(values, size)


def _is_blob(kind: pa.DataType) -> bool:
    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind))


# What a type's values are made of, by a predicate over types; the others are plain already.
PLAIN: tuple[tuple[Callable[[Any], bool], Callable[[Any], list[Any]]], ...] = (
    (_is_list, _lists),
    (types.is_fixed_size_list, _fixed_lists),
    (types.is_map, _maps),
    (types.is_struct, _structs),
    (types.is_union, _unions),
    (types.is_date32, _dates),
    (types.is_timestamp, _timestamps),
    (types.is_time, _times),
    (lambda kind: kind == pa.month_day_nano_interval(), _intervals),
    (_is_blob, _blobs),
)
