"""Items of a server, such as its volumes and links: which one a record is of, and which count."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt

from functions.normalize.columns import Column, Columns, as_list
from functions.normalize.devices import DeviceRules
from functions.normalize.mapping import Field

__all__ = ["Items", "excluded", "items_of", "joined_items", "without_elements"]

_BETWEEN = "\x1f"
Items = list[str | None]


def items_of(columns: Columns, path: str | None, count: int) -> Items:
    """The item of each record [n] by the field at `path`; None where it has none."""
    column = columns.get(path) if path else None
    if column is None:
        return [None] * count
    return [str(v) if isinstance(v, str | int) else None for v in as_list(column)]


def joined_items(columns: Columns, paths: Sequence[str], count: int) -> Items:
    """One text for each record [n] that tells apart what differs in any of the fields."""
    known = [items for path in paths if any(items := items_of(columns, path, count))]
    if len(known) <= 1:
        return known[0] if known else [None] * count
    return [_BETWEEN.join(each or "" for each in items) for items in zip(*known, strict=True)]


def excluded(items: Items, patterns: Sequence[str]) -> npt.NDArray[np.bool_]:
    """A mask [n] of the items that match one of the patterns."""
    known = {item: _fits(item, patterns) for item in set(items)}
    return np.array([known[item] for item in items], bool)


def without_elements(
    columns: Columns, column: Column, entry: Field, rules: DeviceRules
) -> list[Any]:
    """The lists of a column without the elements that do not count by `except` and `real`."""
    assert entry.each is not None
    names = columns.get(entry.each)
    if names is None:
        return as_list(column)
    lists = zip(as_list(column), as_list(names), strict=True)
    return [
        _counted_elements(values, items, entry, rules)
        if isinstance(values, list) and isinstance(items, list)
        else values
        for values, items in lists
    ]


def _counted_elements(
    values: list[Any], items: list[Any], entry: Field, rules: DeviceRules
) -> list[Any]:
    kept = [
        (value, item)
        for value, item in zip(values, items, strict=False)
        if not _fits(item, entry.except_)
    ]
    if entry.real is None:
        return [value for value, _ in kept]
    links = rules.links({item: "" for _, item in kept if isinstance(item, str)})
    return [value for value, item in kept if item in links]


def _fits(item: Any, patterns: Sequence[str]) -> bool:
    return isinstance(item, str) and any(fnmatchcase(item, pattern) for pattern in patterns)
