"""Explanation of a mapping: what it makes of documents, field by field, for display."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from functions.normalize.columns import Columns, Documents, as_list, columns_of
from functions.normalize.date_and_time import time_column
from functions.normalize.mapper import Mapped
from functions.normalize.mapping import Mapping
from functions.normalize.record_shapes import shaped
from functions.normalize.row_filter import Mask, filter_text, matches
from storage.model.metrics import Metric
from storage.model.reject_log import RejectLog

__all__ = ["Line", "explain"]


class Line(NamedTuple):
    """One target of a mapping, its source field, the raw value, and the value as a metric."""

    target: str
    field: str
    raw: Any
    unit: str
    value: Any
    became: str


def explain(
    mapping: Mapping, documents: Documents, mapped: Mapped, metrics: Sequence[Metric]
) -> list[Line]:
    """Return a line for each part and metric of the mapping; `mapped` is the mapper's result.

    Each line shows the first document with the field: where a document has only a part of a
    server, that is another document for each metric.
    """
    documents = shaped(documents, mapping, RejectLog())
    columns = columns_of(documents)
    lines = []
    for target in ("time", "server", "profile", "site", "cores"):
        fields = getattr(mapping, target).fields
        if fixed := getattr(getattr(mapping, target), "fixed", ""):
            lines.append(Line(target, "fixed", fixed, "", "", ""))
        if fields:
            field, raw = _first(columns, fields)
            if target == "time":
                field, raw = _time(columns, mapping, field)
            lines.append(
                Line(target, field or f"not found: {' or '.join(fields)}", raw, "", "", "")
            )
    known = {m.name: m for m in metrics}
    for name, entries in mapping.entries.items():
        for entry in entries:
            field, raw = _first(
                columns, entry.fields, matches(columns, entry.where, len(documents))
            )
            if field is not None:
                value = _value(mapped, name)
                unit = entry.unit + (" (counter)" if entry.counter else "")
                unit += f" per {entry.per}" if entry.per else ""
                became = "missing" if value is None else known[name].unit
                shown = f"{field} of {entry.of}" if entry.of else field
                shown += f" where {filter_text(entry.where)}" if entry.where else ""
                lines.append(Line(name, shown, raw, unit, value, became))
                break
        else:
            tried = " or ".join(f for entry in entries for f in entry.fields)
            lines.append(Line(name, f"not found: {tried}", None, "", None, ""))
    return lines


def _time(columns: Columns, mapping: Mapping, field: str | None) -> tuple[str | None, Any]:
    """The field and the first value of the time, which may be of two columns."""
    assert mapping.time is not None
    column = time_column(columns, mapping.time)
    values = [] if column is None else as_list(column)
    raw = next((value for value in values if value is not None), None)
    return (mapping.time.about if raw is not None and mapping.time.date else field), raw


def _first(
    columns: Columns, fields: Sequence[str], wanted: Mask | None = None
) -> tuple[str | None, Any]:
    for field in fields:
        column = columns.get(field)
        for i, value in enumerate([] if column is None else as_list(column)):
            if value is not None and (wanted is None or wanted[i]):
                return field, value
    return None, None


def _value(mapped: Mapped, name: str) -> Any:
    if name not in mapped.rows.column_names:
        return None
    values = mapped.rows[name].drop_null()
    return values[0].as_py() if len(values) else None
