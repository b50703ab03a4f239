"""SQL types whose values Arrow does not hold: a query that returns them is rewritten to text.

DuckDB 1.5.5 hands out a large UHUGEINT as a negative number, a BIT and a BIGNUM as internal bytes,
and a TIME WITH TIME ZONE without its zone; VARIANT and TYPE it cannot hand out.
"""

from collections.abc import Sequence
from typing import Any

from duckdb import DuckDBPyConnection, ParserException

from storage.errors import QueryFailed

__all__ = ["Description", "unheld_columns", "with_text"]

# Name and type of each column of a result, as DB-API's `description` begins.
Description = Sequence[tuple[Any, ...]]

# The type that holds the same values, by the type's id.
HELD_AS = {
    "bignum": "VARCHAR", "bit": "VARCHAR", "geometry": "VARCHAR", "time with time zone": "VARCHAR",
    "type": "VARCHAR", "uhugeint": "VARCHAR", "variant": "JSON",
}  # fmt: skip


def unheld_columns(description: Description) -> dict[str, Any]:
    """Name and type of the columns whose values Arrow does not hold."""
    return {name: kind for name, kind, *_ in description if _is_unheld(kind)}


def with_text(connection: DuckDBPyConnection, sql: str, description: Description) -> str:
    """A query for the rows of `sql`, one SELECT, with text where Arrow does not hold a value.

    Raises QueryFailed, which names the columns, where `sql` cannot be part of another query.
    """
    names = [f"c{i}" for i in range(len(description))]
    columns = [
        f"{f'CAST({name} AS {_held(kind)})' if _is_unheld(kind) else name} AS {_quoted(label)}"
        for name, (label, kind, *_) in zip(names, description, strict=True)
    ]
    inner = sql.rstrip().rstrip(";")
    text = f"SELECT {', '.join(columns)} FROM (\n{inner}\n) AS result({', '.join(names)})"
    try:
        connection.extract_statements(text)
    except ParserException as error:
        raise unheld(description) from error
    return text


def unheld(description: Description) -> QueryFailed:
    """The error that names the columns of a result whose values Arrow does not hold."""
    columns = [f"column {n!r} has type {kind}" for n, kind in unheld_columns(description).items()]
    return QueryFailed(
        f"{', '.join(columns)}, which Arrow cannot hold: convert it, for example with ::VARCHAR"
    )


def _is_unheld(kind: Any) -> bool:
    return kind.id in HELD_AS or any(_is_unheld(child) for _, child in _children(kind))


def _children(kind: Any) -> list[tuple[str, Any]]:
    """Name and type of each part of a nested type."""
    if kind.id not in ("list", "array", "map", "struct", "union"):
        return []
    children = list(kind.children)
    if kind.id == "array":  # the second is its size
        return children[:1]
    return children[1:] if kind.id == "union" else children  # a union's first is its tag


def _held(kind: Any) -> str:
    """The type as SQL, with types that Arrow holds."""
    if not _is_unheld(kind):
        return str(kind)
    if kind.id in HELD_AS:
        return HELD_AS[kind.id]
    names, parts = zip(*((name, _held(child)) for name, child in _children(kind)), strict=True)
    if kind.id in ("list", "array"):
        return f"{parts[0]}[{dict(kind.children).get('size', '')}]"
    if kind.id == "map":
        return f"MAP({', '.join(parts)})"
    fields = (f"{_quoted(name)} {part}" for name, part in zip(names, parts, strict=True))
    return f"{kind.id.upper()}({', '.join(fields)})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
