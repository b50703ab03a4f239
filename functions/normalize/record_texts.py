"""Texts of records by a mapping: names of servers, sites and profiles."""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from functions.normalize.columns import Column, Columns, as_list, first_of
from functions.normalize.linear_regex import search
from functions.normalize.mapping import Text
from storage.model.names import EXPECTED, REMEDY, server_name, trimmed
from storage.model.reject_log import RejectLog

__all__ = ["names_of", "shown", "texts_of"]

SHOWN_LENGTH = 60


def texts_of(columns: Columns, text: Text, count: int) -> list[Any] | None:
    """The first text of the fields in each record [n]; None where no record has one."""
    if text.fixed:
        return [text.fixed] * count
    if text.prefix:
        texts = first_of(
            ([_tag(v, text.prefix) for v in as_list(column)] if column is not None else None
             for column in map(columns.get, text.fields)),
            lambda v: v is not None,
        )  # fmt: skip
    else:
        texts = _first_texts([columns.get(path) for path in text.fields])
    if texts is None:
        return None
    if not set(map(type, texts)) <= {str, type(None)}:
        texts = [None if v is None or isinstance(v, bool) else str(v) for v in texts]
    if text.pattern:
        known = _first_groups(text.pattern, {v for v in texts if v is not None})
        texts = [known.get(v) for v in texts]
    return [text.values.get(v, v) for v in texts] if text.values else texts


def _first_texts(columns: Sequence[Column | None]) -> list[Any] | None:
    """The first text or number of the columns in each record."""
    present = [column for column in columns if column is not None]
    if (
        len(present) == 1
        and isinstance(present[0], pa.Array)
        and pa.types.is_string(present[0].type)
    ):
        return [value or None for value in present[0].to_pylist()]
    return first_of(present, lambda v: isinstance(v, str | int) and v != "")


def _first_groups(pattern: str, values: Iterable[str]) -> dict[str, str]:
    """The first group of a pattern that matched, by value."""
    distinct = list(values)
    matches = zip(distinct, search(pattern, distinct), strict=True)
    return {value: next(iter(groups.values())) for value, groups in matches if groups}


def names_of(
    columns: Columns, about: str, text: Text, rejects: RejectLog, count: int
) -> list[Any] | None:
    """The names in a text field [n], trimmed; invalid ones are refused."""
    texts = texts_of(columns, text, count)
    if texts is None:
        return None
    name_of = server_name if about == "server" else trimmed
    valid = {value: name_of(value) for value in set(texts)}
    for value in texts if None in valid.values() else ():
        stated = value is not None and (about == "server" or value.strip())
        if stated and valid[value] is None:
            rejects.add(
                f"{about} (field {' or '.join(text.fields)}): not a valid name ({EXPECTED})",
                shown(value), remedy=REMEDY,
            )  # fmt: skip
    return [valid[value] for value in texts]


def _tag(value: Any, prefix: str) -> str | None:
    for each in value if isinstance(value, list) else (value,):
        if isinstance(each, str) and each.startswith(prefix) and len(each) > len(prefix):
            return each[len(prefix) :]
    return None


def shown(value: Any) -> str:
    """A value as it is shown in a message."""
    text = repr(value)
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 1] + "…"
