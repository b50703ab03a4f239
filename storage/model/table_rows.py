"""Conversion of rows as dicts to Arrow, in the types of a table of the lake."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from numbers import Integral
from typing import Any

import pyarrow as pa

__all__ = ["rows_to_arrow"]

OWN_METRIC = pa.float32()
CONVERSION_ERRORS = (TypeError, ValueError, OverflowError, pa.ArrowException)


def rows_to_arrow(
    table: str, schema: pa.Schema, rows: Iterable[Mapping[str, Any]], own_metrics: bool
) -> pa.Table:
    """Return `rows`, one dict of column names and values each, as Arrow.

    The result has the columns that occur in a row, in the order and types of `schema`; a value that
    a row lacks is NULL. With `own_metrics`, other columns are metrics from the settings, float32.

    Raises TypeError for a row that is not a dict, and ValueError for an unknown column, for a
    missing value of a column that is not nullable, for a time without a time zone and for a value
    of another type. Each names table, row number (from 0), column, value and what is expected.
    """
    entries = _checked(table, rows)
    if not entries:
        return schema.empty_table()
    named = dict.fromkeys(name for row in entries for name in row)
    unknown = [name for name in named if name not in schema.names]
    if unknown and not own_metrics:
        raise ValueError(
            f"{table} has no column {', '.join(map(repr, unknown))} "
            f"(expected {', '.join(schema.names)})"
        )
    fields = [field for field in schema if field.name in named or not field.nullable]
    fields += [pa.field(name, OWN_METRIC) for name in unknown]
    columns = [_column(table, field, [row.get(field.name) for row in entries]) for field in fields]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _checked(table: str, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if isinstance(rows, Mapping):
        raise TypeError(f"rows of {table} is one dict (expected a list of dicts, one for each row)")
    entries = list(rows)
    for number, row in enumerate(entries):
        if not isinstance(row, Mapping):
            raise TypeError(
                f"{table} row {number}: {row!r} is not a row (expected a dict, for example "
                "{'server': 'web1', 'ts': now})"
            )
    return entries


def _column(table: str, field: pa.Field, values: Sequence[Any]) -> pa.Array:
    for number, value in enumerate(values):
        if value is None and not field.nullable:
            raise _invalid(table, number, field, "is missing")
        if isinstance(value, datetime) and value.tzinfo is None:
            raise _invalid(table, number, field, f"{value} has no time zone")
    if pa.types.is_floating(field.type):
        # pyarrow refuses whole numbers beyond 2**24 for a float32; a measured value is rounded.
        values = [_float(value) for value in values]
    try:
        return pa.array(values, field.type)
    except CONVERSION_ERRORS:
        number = next(i for i, value in enumerate(values) if not _fits(value, field.type))
        raise _invalid(table, number, field, f"{values[number]!r} is not valid") from None


def _float(value: Any) -> Any:
    return float(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


def _fits(value: Any, kind: pa.DataType) -> bool:
    try:
        pa.array([value], kind)
    except CONVERSION_ERRORS:
        return False
    return True


def _invalid(table: str, number: int, field: pa.Field, what: str) -> ValueError:
    return ValueError(
        f"{table} row {number}: {field.name} {what} (expected {_expected(field.type)})"
    )


def _expected(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "a datetime with a time zone, for example datetime(2026, 5, 6, 12, tzinfo=UTC)"
    if pa.types.is_floating(kind):
        return "a number"
    if pa.types.is_integer(kind):
        return f"a whole number, {kind}"
    return "text" if pa.types.is_string(kind) else str(kind)
