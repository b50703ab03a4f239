"""Rows of a query as the cells of a page."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import types

from storage.query.result_files import exact_text, plain_rows

__all__ = ["Cell", "QueryTable", "query_table"]

MAX_CELL = 400  # characters


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as text; `kind` is a class of CSS: empty, `num`, `none` or `cut`."""

    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class QueryTable:
    """The first rows as cells; `plan` is the text of an EXPLAIN, empty for others."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: int
    plan: str = ""


def query_table(rows: pa.Table, show: int) -> QueryTable:
    """Return the first `show` rows; the columns are name and class."""
    numeric = [_is_number(field.type) for field in rows.schema]
    columns = tuple(
        (field.name, "num" if number else "")
        for field, number in zip(rows.schema, numeric, strict=True)
    )
    if rows.column_names == ["explain_key", "explain_value"]:
        plan = "\n".join(str(text) for text in rows["explain_value"].to_pylist())
        return QueryTable(columns, (), rows.num_rows, plan)
    cells = tuple(
        tuple(_cell(value, number) for value, number in zip(row, numeric, strict=True))
        for row in plain_rows(rows.slice(0, show))
    )
    return QueryTable(columns, cells, rows.num_rows)


def _cell(value: Any, number: bool) -> Cell:
    if value is None:
        return Cell("NULL", "none")
    text = f"{value:.6g}" if isinstance(value, float) else exact_text(value)
    if len(text) > MAX_CELL:
        return Cell(f"{text[:MAX_CELL]}…", "cut")
    return Cell(text, "num" if number else "")


def _is_number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))
