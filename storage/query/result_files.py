"""Rows of any SQL types as CSV, JSON, Parquet and Arrow; docs/sql.md has what each type becomes."""

from collections.abc import Callable
from decimal import Decimal
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pyarrow import types

from storage.model.formula_guard import guarded
from storage.platform.printable import printable, printable_json
from storage.query.plain_values import json_text, plain_values

__all__ = [
    "arrow_bytes", "csv_bytes", "distinct", "exact_text", "json_bytes", "parquet_bytes",
    "plain_rows",
]  # fmt: skip


def plain_rows(rows: pa.Table) -> list[list[Any]]:
    """Return the rows as lists of `plain_values`."""
    columns = [plain_values(column) for column in rows.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def distinct(names: list[str]) -> list[str]:
    """Return the names of columns; one that is there already gets a number: `a`, `a_1`."""
    taken: dict[str, None] = {}
    for name in names:
        others = (f"{name}_{i}" for i in count(1))
        taken[name if name not in taken else next(n for n in others if n not in taken)] = None
    return list(taken)


def exact_text(value: Any) -> str:
    """Return a plain value as text: nested ones as JSON, decimals with all their digits."""
    return json_text(value) if isinstance(value, (dict, list, Decimal)) else str(value)


def json_bytes(rows: pa.Table) -> bytes:
    """Return an array of one object per row."""
    names = distinct(rows.column_names)
    texts = (json_text(dict(zip(names, row, strict=True))) for row in plain_rows(rows))
    return printable_json("[" + ", ".join(texts) + "]").encode()


def csv_bytes(rows: pa.Table, for_terminal: bool = False) -> bytes:
    """Return CSV, guarded from spreadsheets; for a terminal without unprintable characters."""
    rows = _with_text(guarded(rows), lambda column: not _is_number(column.type))
    if for_terminal:
        rows = _printable(rows)
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(rows, sink)
    return bytes(sink.getvalue())


def parquet_bytes(rows: pa.Table) -> bytes:
    """Return Parquet, with text for what it cannot hold."""
    rows = rows.rename_columns(distinct(rows.column_names))
    try:
        return _as_parquet(rows)
    except pa.ArrowException:  # Parquet has no intervals, no unions, and 38 digits at most
        return _as_parquet(_with_text(rows, _is_refused_by_parquet))


def arrow_bytes(rows: pa.Table) -> bytes:
    """Return an Arrow IPC file."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as file:
        file.write_table(rows)
    return bytes(sink.getvalue())


def _printable(rows: pa.Table) -> pa.Table:
    for i, field in enumerate(rows.schema):
        if types.is_string(field.type):
            texts = [v if v is None else printable(v) for v in rows.column(i).to_pylist()]
            rows = rows.set_column(i, field.name, pa.array(texts, pa.string()))
    return rows.rename_columns([printable(name) for name in rows.column_names])


def _is_number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _as_parquet(rows: pa.Table) -> bytes:
    for column in rows.columns:
        if types.is_decimal(column.type):
            column.validate(full=True)  # a HUGEINT may have 39 digits
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return bytes(sink.getvalue())


def _is_refused_by_parquet(column: pa.ChunkedArray) -> bool:
    try:
        _as_parquet(pa.table({"": column}))
    except pa.ArrowException:
        return True
    return False


def _with_text(rows: pa.Table, belongs: Callable[[pa.ChunkedArray], bool]) -> pa.Table:
    """The rows with some columns as text, nested values as JSON."""
    for i, field in enumerate(rows.schema):
        if belongs(rows.column(i)):
            texts = [v if v is None else exact_text(v) for v in plain_values(rows.column(i))]
            rows = rows.set_column(i, field.name, pa.array(texts, pa.string()))
    return rows
