"""Columns of a page: values by path, from documents or from an Arrow table, each taken out once."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import pyarrow as pa

__all__ = [
    "Column", "Columns", "DocumentColumns", "Documents", "TableColumns", "as_list", "columns_of",
    "first_document", "first_of", "projection",
]  # fmt: skip

# Values in the order of the records: a list, or an Arrow array of a columnar source.
Column: TypeAlias = Any
# Some records: dicts, or a table of a columnar source (CSV, Parquet).
Documents: TypeAlias = Sequence[Mapping[str, Any]] | pa.Table

_STEP = re.compile(r"([^.\[\]]+)|\[(\d*)\]")


class Columns(Protocol):
    """The columns of a page of records, by path."""

    @property
    def names(self) -> list[str]:
        """The names of all fields."""
        ...

    def get(self, path: str) -> Column | None:
        """The values at `path`, None where a record has none; None when no record has it.

        The values of a path with `[]` are lists.
        """
        ...

    def take(self, places: Sequence[int]) -> "Columns":
        """The columns of some of the records."""
        ...

    def fields(self, place: int) -> list[str]:
        """The names of the fields that a record has."""
        ...


def columns_of(documents: Documents) -> Columns:
    """The columns of records of either form."""
    if isinstance(documents, pa.Table):
        return TableColumns(documents)
    return DocumentColumns(documents)


def as_list(column: Column) -> list[Any]:
    """The values of a column as Python objects."""
    if isinstance(column, pa.Array | pa.ChunkedArray):
        values: list[Any] = column.to_pylist()
        return values
    return list(column)


def first_document(documents: Documents) -> Mapping[str, Any]:
    """The first record as a dict."""
    if isinstance(documents, pa.Table):
        documents = documents.slice(0, 1).to_pylist()
    first: Mapping[str, Any] = documents[0]
    return first


class TableColumns:
    """The columns of a table. A path into a column of structs or lists is walked in its values."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self._table.column_names)

    def get(self, path: str) -> Column | None:
        """The column of that name as one Arrow array, or the values at a path below a column."""
        if path in self._table.column_names:
            return _one_array(self._table[path])
        return self._nested.get(path)

    def take(self, places: Sequence[int]) -> Columns:
        """The columns of some of the rows."""
        return TableColumns(self._table.take(pa.array(places, pa.int64())))

    def fields(self, place: int) -> list[str]:
        """The names of the columns with a value in that row."""
        return [name for name, valid in self._valid.items() if valid[place]]

    @cached_property
    def _valid(self) -> dict[str, list[bool]]:
        """Whether each row has a value, by the name of the column."""
        return {
            name: column.is_valid().to_pylist()
            for name, column in zip(self._table.column_names, self._table.columns, strict=True)
        }

    @cached_property
    def _nested(self) -> "DocumentColumns":
        """The columns that are not flat, as documents."""
        names = [f.name for f in self._table.schema if pa.types.is_nested(f.type)]
        if not names:
            return DocumentColumns([])
        return DocumentColumns(self._table.select(names).to_pylist())


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    whole = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_timestamp(whole.type) and whole.type.unit == "ns":
        return whole.cast(pa.timestamp("us", whole.type.tz), safe=False)  # as datetimes have it
    return whole


class DocumentColumns:
    """The columns of a page of dicts.

    A key that has dots itself (`system.load.1` in a CSV file) goes before the path of that name.
    """

    def __init__(self, documents: Sequence[Mapping[str, Any]]) -> None:
        self._documents = documents
        self._keys: set[str] = set().union(*documents)
        self._columns: dict[tuple[str, ...], list[Any] | None] = {}

    @property
    def names(self) -> list[str]:
        """The keys of all documents, sorted."""
        return sorted(map(str, self._keys))

    def get(self, path: str) -> list[Any] | None:
        """The values at `path`, None where a document has none; None when no document has it."""
        if path in self._keys:
            return [document.get(path) for document in self._documents]
        steps = tuple(
            f"[{step[2]}]" if step[1] is None else step[1] for step in _STEP.finditer(path)
        )
        return self._walk(steps)

    def take(self, places: Sequence[int]) -> Columns:
        """The columns of some of the documents."""
        return DocumentColumns([self._documents[i] for i in places])

    def fields(self, place: int) -> list[str]:
        """The keys of a document."""
        return list(map(str, self._documents[place]))

    def _walk(self, steps: tuple[str, ...]) -> list[Any] | None:
        if steps not in self._columns:
            self._columns[steps] = self._take(steps)
        return self._columns[steps]

    def _take(self, steps: tuple[str, ...]) -> list[Any] | None:
        *before, last = steps
        if not before:
            return [d.get(last) for d in self._documents] if last in self._keys else None
        column = self._walk(tuple(before))
        if column is None:
            return None
        if last == "[]" or any(step == "[]" for step in before):
            return _some(_spread(column, last))
        return _some(_step(column, last))


def _step(column: list[Any], step: str) -> list[Any]:
    if step.startswith("["):
        index = int(step[1:-1])
        return [v[index] if isinstance(v, list) and index < len(v) else None for v in column]
    return [v.get(step) if v.__class__ is dict else None for v in column]


def _spread(column: list[Any], step: str) -> list[Any]:
    """Lists of values: the elements of a list, or one step into each of them."""
    if step == "[]":
        return [v if isinstance(v, list) else None for v in column]
    return [None if v is None else _step(v, step) for v in column]


def _some(column: list[Any]) -> list[Any] | None:
    return column if any(v is not None for v in column) else None


def first_of(columns: Iterable[Column | None], usable: Callable[[Any], bool]) -> list[Any] | None:
    """In each place the first usable value of the columns; None when no column is there."""
    chosen: list[Any] | None = None
    for column in columns:
        if column is None:
            continue
        values = as_list(column)
        if chosen is None:
            chosen = [v if usable(v) else None for v in values]
        else:
            chosen = [
                kept if kept is not None else (v if usable(v) else None)
                for kept, v in zip(chosen, values, strict=True)
            ]
    return chosen


def projection(paths: Sequence[str]) -> list[str]:
    """The fields for a projection: paths without list steps, and none below another one.

    MongoDB refuses a projection of both a path and one below it.
    """
    plain = {".".join(p.partition("[")[0] for p in path.split(".")).strip(".") for path in paths}
    return sorted(
        path
        for path in plain
        if not any(path.startswith(other + ".") for other in plain if other != path)
    )
