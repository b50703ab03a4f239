"""Date and time in two columns, as one column of texts."""

from datetime import date, datetime, time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from functions.normalize.columns import Column, Columns, as_list, first_of
from functions.normalize.mapping import Time

__all__ = ["time_column"]


def time_column(columns: Columns, time: Time) -> Column | None:
    """The times of a page: the first that a record has of its fields, or date and time in one.

    None when no record has one.
    """
    if time.date:
        return _joined(columns.get(time.date), columns.get(time.time))
    present = [column for column in map(columns.get, time.fields) if column is not None]
    return present[0] if len(present) == 1 else first_of(present, lambda v: v not in (None, ""))


def _joined(dates: Column | None, times: Column | None) -> Column | None:
    """`DATE TIME` [n], None where one of both is missing."""
    if dates is None or times is None:
        return None
    if all(isinstance(part, pa.Array) and _is_text(part.type) for part in (dates, times)):
        parts = (pc.utf8_trim_whitespace(part.cast(pa.string())) for part in (dates, times))
        return pc.binary_join_element_wise(*parts, " ")
    return [
        None if day in (None, "") or hour in (None, "") else f"{_date(day)} {_time(hour)}"
        for day, hour in zip(as_list(dates), as_list(times), strict=True)
    ]


def _is_text(kind: pa.DataType) -> bool:
    """Return True for text, and for what Arrow writes as ISO 8601."""
    types = pa.types
    return bool(types.is_string(kind) or types.is_date32(kind) or types.is_time(kind))


def _date(value: Any) -> str:
    if isinstance(value, datetime):
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date) else str(value).strip()


def _time(value: Any) -> str:
    if isinstance(value, datetime):
        return value.time().isoformat()
    return value.isoformat() if isinstance(value, time) else str(value).strip()
