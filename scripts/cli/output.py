"""Output of the command: rows as a table, CSV, JSON lines or Parquet; the schema; samples."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pyarrow import types
from rich.console import Console
from rich.table import Table as Grid

from functions.engine.function import Batch
from scripts.cli.plain_values import json_text, plain_values
from storage.model.metrics import METRICS
from storage.model.schema import Schema, sql_type
from storage.model.views import VIEWS

__all__ = ["format_time", "print_grid", "show_batch", "show_rows", "show_schema"]

# Rows in a pipe or a file are not cut to the width of a terminal.
UNBOUNDED_COLUMNS = 10_000
VERBOSE_ROWS = 5


def show_rows(rows: pa.Table, form: str) -> None:
    """Print rows as a table, CSV, JSON lines or Parquet (the last for a pipe or a file)."""
    if form == "csv":
        pyarrow.csv.write_csv(_flat(rows), sys.stdout.buffer)
    elif form == "json":
        names = _distinct(rows.column_names)
        for row in _plain_rows(rows):
            print(json_text(dict(zip(names, row, strict=True))))
    elif form == "parquet":
        sys.stdout.buffer.write(_parquet(rows))
    else:
        print_grid(rows.column_names, _plain_rows(rows))
        print(f"{rows.num_rows} row{'' if rows.num_rows == 1 else 's'}")


def show_schema(name: str | None, schema: Schema) -> None:
    """List all tables and views, or the columns of one of them."""
    if name is None:
        print_grid(
            ["table", "holds", "kept"],
            [[t.name, t.purpose, t.retention_text] for t in schema.tables],
        )
        print()
        print_grid(["view", "holds"], [[view.name, view.purpose] for view in VIEWS])
        return
    views = {view.name: view for view in VIEWS}
    shown = views[name] if name in views else schema.table(name)
    print(f"{shown.name}: {shown.purpose}\n")
    rows = [[c.name, sql_type(c.type), c.meaning] for c in shown.columns]
    print_grid(["column", "type", "meaning"], rows)


def show_batch(batch: Batch) -> None:
    """Print the rows of a run: samples metric by metric with their units, others as a table."""
    for name, rows in batch.rows.items():
        print(f"{name}: {rows.num_rows} rows")
        if name == "metrics":
            for sample in rows.slice(0, VERBOSE_ROWS).to_pylist():
                _print_sample(sample)
        else:
            show_rows(rows.slice(0, VERBOSE_ROWS), "table")


def _print_sample(sample: dict[str, Any]) -> None:
    print(f"{sample['server']} at {_plain(sample['ts'])}")
    rows = [
        [
            m.name,
            "missing" if sample.get(m.name) is None else f"{sample[m.name]:.2f}",
            m.unit,
            m.meaning,
        ]
        for m in METRICS
    ]
    print_grid(["metric", "value", "unit", "meaning"], rows)


def print_grid(columns: list[str], rows: list[list[Any]]) -> None:
    """Print rows in columns; in a pipe or a file they are not cut to a width."""
    grid = Grid(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        grid.add_row(*(_text(value) for value in row))
    width = None if sys.stdout.isatty() else UNBOUNDED_COLUMNS
    Console(width=width, markup=False, highlight=False, emoji=False).print(grid)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else _exact(_plain(value))


def _exact(value: Any) -> str:
    """A value as text: nested ones as JSON, decimals with all their digits."""
    return json_text(value) if isinstance(value, (dict, list, Decimal)) else str(value)


def format_time(at: datetime) -> str:
    """Return a time in UTC, such as `2026-05-06 12:00:30Z`."""
    return at.astimezone(UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    return format_time(value) if isinstance(value, datetime) else value


def _plain_rows(rows: pa.Table) -> list[list[Any]]:
    columns = [plain_values(column) for column in rows.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _distinct(names: list[str]) -> list[str]:
    """The names of columns; one that is there already gets a number: `a`, `a_1`."""
    taken: dict[str, None] = {}
    for name in names:
        others = (f"{name}_{i}" for i in count(1))
        taken[name if name not in taken else next(n for n in others if n not in taken)] = None
    return list(taken)


def _flat(rows: pa.Table) -> pa.Table:
    """The rows with text for what Arrow does not write as CSV, or not as JSON has it."""
    return _with_text(rows, lambda column: not _is_number(column.type))


def _is_number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _parquet(rows: pa.Table) -> bytes:
    rows = rows.rename_columns(_distinct(rows.column_names))
    try:
        return _as_parquet(rows)
    except pa.ArrowException:  # Parquet has no intervals, no unions, and 38 digits at most
        return _as_parquet(_with_text(rows, _is_refused_by_parquet))


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
            texts = [v if v is None else _exact(v) for v in plain_values(rows.column(i))]
            rows = rows.set_column(i, field.name, pa.array(texts, pa.string()))
    return rows
