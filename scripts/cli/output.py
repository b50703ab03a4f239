"""Output of the command: rows as a table, CSV, JSON lines or Parquet; the schema; samples."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from rich.table import Table as Grid

from functions.engine.function import Batch
from scripts.cli.printer import console, on_terminal, say, write_bytes
from storage.errors import HoursightError
from storage.model.metrics import METRICS
from storage.model.schema import Schema, sql_type
from storage.model.views import VIEWS
from storage.platform.printable import printable
from storage.query.plain_values import json_text
from storage.query.result_files import (
    csv_bytes,
    distinct,
    exact_text,
    parquet_bytes,
    plain_rows,
)

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
        write_bytes(csv_bytes(rows, for_terminal=on_terminal()))
    elif form == "json":
        names = distinct(rows.column_names)
        for row in plain_rows(rows):
            say(json_text(dict(zip(names, row, strict=True))))
    elif form == "parquet":
        if on_terminal():
            raise NotForTerminal(
                "Parquet is not text", "send it to a file: … --format parquet > rows.parquet"
            )
        write_bytes(parquet_bytes(rows))
    elif rows.column_names == EXPLAINED:
        for line in "\n".join(rows["explain_value"].to_pylist()).splitlines():
            say(line)
    else:
        print_grid(rows.column_names, plain_rows(rows))
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
    return "" if value is None else printable(exact_text(_plain(value)))


def format_time(at: datetime) -> str:
    """Return a time in UTC, such as `2026-05-06 12:00:30Z`."""
    return at.astimezone(UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    return format_time(value) if isinstance(value, datetime) else value
