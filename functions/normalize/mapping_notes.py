"""What a mapping leaves unused of its records, in words, each once."""

import re
from collections.abc import Iterator

from functions.normalize.columns import Columns
from functions.normalize.mapping import Mapping
from functions.normalize.row_filter import filter_text, matches
from functions.normalize.stock_mappings import similar_stock

__all__ = ["MappingNotes"]

SHOWN_COLUMNS = 10


class MappingNotes:
    """The notes of one mapping on the pages that it is applied to."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._given: set[str] = set()

    def of(self, columns: Columns, count: int, rows: int) -> tuple[str, ...]:
        """New notes on a page of `count` records, of which `rows` rows were made."""
        if not count:
            return ()
        notes = [*self._unmapped(columns, count), *(() if rows else self._unused(columns, count))]
        fresh = tuple(dict.fromkeys(note for note in notes if note not in self._given))
        self._given.update(fresh)
        return fresh

    def _unmapped(self, columns: Columns, count: int) -> Iterator[str]:
        """Fields that cannot be mapped to a metric for certain."""
        for each in self._mapping.unmapped:
            there = not each.field or self._is_there(columns, each.field)
            mask = matches(columns, each.where, count) if there else None
            if there and (mask is None or mask.any()):
                yield f"{each.field or filter_text(each.where)} is not mapped: {each.why}"

    def _is_there(self, columns: Columns, field: str) -> bool:
        """Return True where there is a field that no entry reads in every record."""
        entries = (entry for fields in self._mapping.entries.values() for entry in fields)
        read = any(field in entry.fields and not entry.where for entry in entries)
        return not read and columns.get(field) is not None

    def _unused(self, columns: Columns, count: int) -> Iterator[str]:
        """Why there may be no row at all."""
        mapping, names = self._mapping, columns.names
        mask = matches(columns, mapping.where, count)
        if mask is not None and not mask.any():
            yield f"no record matches mapping.where ({filter_text(mapping.where)})"
        if mapping.columns is not None:
            groups = re.compile(mapping.columns.pattern).groupindex
            if not groups.keys() & set(names):
                shown = ", ".join(names[:SHOWN_COLUMNS])
                yield f"no column matches mapping.columns.pattern (the columns are {shown})"
        similar = similar_stock(names)
        if similar not in (None, mapping.stock):
            yield (
                f"the fields are those of {similar}: write stock = '{similar}' in [mapping], or "
                f"import with --like {similar}"
            )
