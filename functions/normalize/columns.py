"""Columns of values from documents: one pass over a page for each step of a path."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["Column", "DocumentColumns", "first_of", "projection"]

Column = list[Any]

_STEP = re.compile(r"([^.\[\]]+)|\[(\d*)\]")


class DocumentColumns:
    """The columns of one page, each taken out once.

    A key that has dots itself (`system.load.1` in a CSV file) goes before the path of that name.
    """

    def __init__(self, documents: Sequence[Mapping[str, Any]]) -> None:
        self._documents = documents
        self._keys: set[str] = set().union(*documents)
        self._columns: dict[tuple[str, ...], Column | None] = {}

    def get(self, path: str) -> Column | None:
        """The values at `path`, None where a document has none; None when no document has it.

        The values of a path with `[]` are lists.
        """
        if path in self._keys:
            return [document.get(path) for document in self._documents]
        steps = tuple(
            f"[{found[2]}]" if found[1] is None else found[1] for found in _STEP.finditer(path)
        )
        return self._walk(steps)

    def _walk(self, steps: tuple[str, ...]) -> Column | None:
        if steps not in self._columns:
            self._columns[steps] = self._take(steps)
        return self._columns[steps]

    def _take(self, steps: tuple[str, ...]) -> Column | None:
        *before, last = steps
        if not before:
            return [d.get(last) for d in self._documents] if last in self._keys else None
        column = self._walk(tuple(before))
        if column is None:
            return None
        if last == "[]" or any(step == "[]" for step in before):
            return _some(_spread(column, last))
        return _some(_step(column, last))


def _step(column: Column, step: str) -> Column:
    if step.startswith("["):
        index = int(step[1:-1])
        return [v[index] if isinstance(v, list) and index < len(v) else None for v in column]
    return [v.get(step) if v.__class__ is dict else None for v in column]


def _spread(column: Column, step: str) -> Column:
    """Lists of values: those of a list, or of one step in each of its elements."""
    if step == "[]":
        return [v if isinstance(v, list) else None for v in column]
    return [None if v is None else _step(v, step) for v in column]


def _some(column: Column) -> Column | None:
    return column if any(v is not None for v in column) else None


def first_of(columns: Iterable[Column | None], usable: Callable[[Any], bool]) -> Column | None:
    """In each place the first usable value of the columns; None when no column is there."""
    found: Column | None = None
    for column in columns:
        if column is None:
            continue
        if found is None:
            found = [v if usable(v) else None for v in column]
        else:
            found = [
                kept if kept is not None else (v if usable(v) else None)
                for kept, v in zip(found, column, strict=True)
            ]
    return found


def projection(paths: Sequence[str]) -> list[str]:
    """The fields to fetch: list steps taken out, and no path below another, which is an error."""
    plain = {".".join(p.partition("[")[0] for p in path.split(".")).strip(".") for path in paths}
    return sorted(
        path
        for path in plain
        if not any(path.startswith(other + ".") for other in plain if other != path)
    )
