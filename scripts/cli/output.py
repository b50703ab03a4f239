"""Output of the command: rows as a table, CSV, JSON lines or Parquet; the schema; samples."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pyarrow import types
from rich.table import Table as Grid

from functions.engine.function import Batch
from scripts.cli.plain_values import json_text, plain_values
from scripts.cli.printer import console, on_terminal, say, write_bytes
from storage.errors import HoursightError
from storage.model.formula_guard import guarded
from storage.model.metrics import METRICS
from storage.model.schema import Schema, sql_type
from storage.model.views import VIEWS
from storage.platform.printable import printable

__all__ = ["format_time", "print_grid", "show_batch", "show_rows", "show_schema"]


class NotForTerminal(HoursightError):
    """Bytes that a terminal would take for commands."""


# Rows in a pipe or a file are not cut to the width of a terminal.
UNBOUNDED_COLUMNS = 10_000
VERBOSE_ROWS = 5
EXPLAINED = ["explain_key", "explain_value"]  # a plan of several lines


def show_rows(rows: pa.Table, form: str) -> None:
    """Print rows as a table, CSV, JSON lines or Parquet (the last for a pipe or a file)."""
    if form == "csv":
        write_bytes(_csv(rows))
    elif form == "json":
        names = _distinct(rows.column_names)
        for row in _plain_rows(rows):
            say(json_text(dict(zip(names, row, strict=True))))
    elif form == "parquet":
        if on_terminal():
            raise NotForTerminal(
                "Parquet is not text", "send it to a file: … --format parquet > rows.parquet"
            )
        write_bytes(_parquet(rows))
    elif rows.column_names == EXPLAINED:
        for line in "\n".join(rows["explain_value"].to_pylist()).splitlines():
            say(line)
    else:
        print_grid(rows.column_names, _plain_rows(rows))
        say(f"{rows.num_rows} row{'' if rows.num_rows == 1 else 's'}")


def show_schema(name: str | None, schema: Schema) -> None:
    """List all tables and views, or the columns of one of them."""
    if name is None:
        print_grid(
            ["table", "holds", "kept"],
            [[t.name, t.purpose, t.retention_text] for t in schema.tables],
        )
        say()
        print_grid(["view", "holds"], [[view.name, view.purpose] for view in VIEWS])
        return
    views = {view.name: view for view in VIEWS}
    shown = views[name] if name in views else schema.table(name)
    say(f"{shown.name}: {shown.purpose}")
    say()
    rows = [[c.name, sql_type(c.type), c.meaning] for c in shown.columns]
    print_grid(["column", "type", "meaning"], rows)


def show_batch(batch: Batch) -> None:
    """Print the rows of a run: samples metric by metric with their units, others as a table."""
    for name, rows in batch.rows.items():
        say(f"{name}: {rows.num_rows} rows")
        if name == "metrics":
            for sample in rows.slice(0, VERBOSE_ROWS).to_pylist():
                _print_sample(sample)
        else:
            show_rows(rows.slice(0, VERBOSE_ROWS), "table")


def _print_sample(sample: dict[str, Any]) -> None:
    say(f"{sample['server']} at {_plain(sample['ts'])}")
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
    grid = Grid(*map(printable, columns), box=None, pad_edge=False, header_style="bold")
    for row in rows:
        grid.add_row(*(_text(value) for value in row))
    console(width=None if on_terminal() else UNBOUNDED_COLUMNS).print(grid)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else printable(_exact(_plain(value)))


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


def _csv(rows: pa.Table) -> bytes:
    """CSV, guarded from spreadsheets; for a terminal without unprintable characters."""
    rows = _flat(guarded(rows))
    if on_terminal():
        rows = _printable(rows)
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(rows, sink)
    return bytes(sink.getvalue())


def _printable(rows: pa.Table) -> pa.Table:
    for i, field in enumerate(rows.schema):
        if types.is_string(field.type):
            texts = [v if v is None else printable(v) for v in rows.column(i).to_pylist()]
            rows = rows.set_column(i, field.name, pa.array(texts, pa.string()))
    return rows.rename_columns([printable(name) for name in rows.column_names])


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
