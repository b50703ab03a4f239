"""Records out of documents of other shapes: lists within a document, or a column per series."""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Dict
from typing import Any

import pyarrow as pa

from functions.normalize.columns import Documents
from functions.normalize.linear_regex import search
from functions.normalize.mapping import ColumnPattern, Mapping
from functions.normalize.mapping_parts import compiled
from storage.model.reject_log import RejectLog

__all__ = ["shaped"]

Document = dict[str, Any]
Series = tuple[tuple[str, str], ...]  # the fields that the name of a column holds


def shaped(documents: Documents, mapping: Mapping, rejects: RejectLog) -> Documents:
    """The records of documents by `records` and `columns` of a mapping; else the documents.

    Columns that would be the same field of the same record are refused.
    """
    if not mapping.records and mapping.columns is None:
        return documents
    if mapping.records:
        paths = (mapping.records,) if isinstance(mapping.records, str) else mapping.records
        listed = documents.to_pylist() if isinstance(documents, pa.Table) else documents
        if not _is_flat(listed, paths):
            documents = [record for document in listed for record in _records(document, paths)]
    if mapping.columns is None:
        return documents
    if isinstance(documents, pa.Table):
        names = _ColumnNames(mapping.columns, documents.column_names)
        return _by_column(documents, names, rejects)
    names = _ColumnNames(mapping.columns, list(set().union(*documents)))
    return [record for document in documents for record in _by_key(document, names, rejects)]


class _ColumnNames:
    """What the names of columns hold, by the rule of a mapping: each name is searched once."""

    def __init__(self, rule: ColumnPattern, names: Sequence[str]) -> None:
        matches = zip(names, search(rule.pattern, names), strict=True)
        fields = compiled("pattern", rule.pattern).groupindex
        self.groups = {
            name: {key: groups[key] for key in fields if key in groups}
            for name, groups in matches if groups is not None
        }  # fmt: skip
        times = search(rule.time, names) if rule.time else [None] * len(names)
        self.times = {name for name, match in zip(names, times, strict=True) if match is not None}


def _is_flat(documents: Sequence[Dict[str, Any]], paths: Sequence[str]) -> bool:
    keys = {re.split(r"[.\[]", path)[0] for path in paths}
    return not any(keys & document.keys() for document in documents)


def _records(document: Dict[str, Any], paths: Sequence[str]) -> Iterator[Dict[str, Any]]:
    """The records at the first of the paths that a document has; itself where it has none."""
    for path in paths:
        steps = path.split(".")
        if steps[0].removesuffix("[]") in document:
            yield from _below(document, steps, {})
            return
    yield document


def _below(node: Any, steps: Sequence[str], around: Document) -> Iterator[Document]:
    if not isinstance(node, dict):
        return
    if not steps:
        yield around | node
        return
    key = steps[0].removesuffix("[]")
    around = around | {name: value for name, value in node.items() if name != key}
    child = node.get(key)
    for each in child if isinstance(child, list) else [child]:
        yield from _below(each, steps[1:], around)


def _by_column(table: pa.Table, by_rule: _ColumnNames, rejects: RejectLog) -> Documents:
    """A table with the rows of each series below those of the one before."""
    series, common = _sorted_columns(table.column_names, by_rule, table.num_rows, rejects)
    if not series:
        names = list(common.values())
        return table.select(list(common)).rename_columns(names) if common else table
    shared = {called: table[name] for name, called in common.items()}
    parts = []
    for known, columns in series.items():
        fixed = {k: pa.array([v], pa.string()).take(_zeros(table.num_rows)) for k, v in known}
        fields = {field: table[name] for field, name in columns.items()}
        parts.append(pa.table(shared | fixed | fields))
    return pa.concat_tables(parts, promote_options="default")


def _zeros(count: int) -> pa.Array:
    return pa.repeat(pa.scalar(0, pa.int64()), count)


def _by_key(document: Dict[str, Any], by_rule: _ColumnNames, rejects: RejectLog) -> list[Document]:
    series, common = _sorted_columns(list(document), by_rule, 1, rejects)
    shared = {called: document[name] for name, called in common.items()}
    if not series:
        return [shared]
    return [
        shared | dict(known) | {field: document[name] for field, name in columns.items()}
        for known, columns in series.items()
    ]


def _sorted_columns(
    names: Sequence[str], by_rule: _ColumnNames, rows: int, rejects: RejectLog
) -> tuple[dict[Series, dict[str, str]], dict[str, str]]:
    """The columns of each series by field, and the names of the others by what they are called."""
    series: dict[Series, dict[str, list[str]]] = {}
    common: dict[str, str] = {}
    for name in names:
        if name not in by_rule.groups:
            common[name] = "time" if name in by_rule.times else name
            continue
        groups = dict(by_rule.groups[name])
        field = groups.pop("field", "value")
        series.setdefault(tuple(groups.items()), {}).setdefault(field, []).append(name)
    certain: dict[Series, dict[str, str]] = {}
    for known, fields in series.items():
        for field, columns in fields.items():
            if len(columns) == 1:
                certain.setdefault(known, {})[field] = columns[0]
                continue
            about = " ".join(text for _, text in known)
            rejects.add(
                f"columns: {len(columns)} of them are {field!r} of {about}", ", ".join(columns[:3]),
                rows * len(columns),
                "leave the others out of the export, or tell them apart in mapping.columns.pattern",
            )  # fmt: skip
    return certain, common
