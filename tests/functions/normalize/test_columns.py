"""Columns by path, the same from documents and from tables."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from functions.normalize.columns import (
    Documents,
    as_list,
    columns_of,
    first_document,
    first_of,
    projection,
)

DOCUMENTS: list[dict[str, Any]] = [
    {"host": "a", "load": 1.5, "os": {"cpu": {"user": 7}}, "disks": [{"used": 1}, {"used": 9}]},
    {"host": "b", "load": None, "os": {"cpu": {}}, "disks": []},
    {"host": "c", "load": 2.5, "os": None, "disks": None},
]
FORMS = [DOCUMENTS, pa.Table.from_pylist(DOCUMENTS)]


@pytest.mark.parametrize("documents", FORMS, ids=["documents", "table"])
@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("host", ["a", "b", "c"]),
        ("load", [1.5, None, 2.5]),
        ("os.cpu.user", [7, None, None]),
        ("disks[1].used", [9, None, None]),
        ("disks[].used", [[1, 9], [], None]),
    ],
)
def test_a_path_has_the_same_values_in_documents_and_in_a_table(
    documents: Documents, path: str, values: list[Any]
) -> None:
    assert as_list(columns_of(documents).get(path)) == values


@pytest.mark.parametrize("documents", FORMS, ids=["documents", "table"])
@pytest.mark.parametrize("path", ["missing", "os.memory", "host.name", "disks[7].used"])
def test_a_path_that_no_record_has_is_none(documents: Documents, path: str) -> None:
    assert columns_of(documents).get(path) is None


@pytest.mark.parametrize("documents", FORMS, ids=["documents", "table"])
def test_some_records_can_be_taken(documents: Documents) -> None:
    some = columns_of(documents).take([2, 0])
    assert as_list(some.get("host")) == ["c", "a"]
    assert as_list(some.get("os.cpu.user")) == [None, 7]
    assert "load" in some.fields(0)


def test_a_row_of_a_table_has_the_fields_that_hold_a_value_in_it() -> None:
    columns = columns_of(pa.table({"host": ["a", None], "load": [None, 1.5], "disk": [3, 4]}))
    assert columns.fields(0) == ["host", "disk"]
    assert columns.fields(1) == ["load", "disk"]


def test_a_key_with_dots_goes_before_a_path() -> None:
    documents: list[dict[str, Any]] = [{"a.b": 1, "a": {"b": 2}}]
    assert columns_of(documents).get("a.b") == [1]
    assert as_list(columns_of(pa.table({"a.b": [1]})).get("a.b")) == [1]


def test_nanoseconds_of_a_table_are_cut_to_what_a_datetime_holds() -> None:
    ts = pa.array([1_000_000_001], pa.timestamp("ns", "UTC"))
    assert as_list(columns_of(pa.table({"ts": ts})).get("ts")) == [datetime.fromtimestamp(1, UTC)]


def test_the_first_usable_value_of_several_columns_is_taken() -> None:
    columns = [None, [None, "", "x"], pa.array(["a", "b", "c"])]
    assert first_of(columns, lambda v: v not in (None, "")) == ["a", "b", "x"]
    assert first_of([None], bool) is None


def test_the_first_document_of_a_table_is_a_dict() -> None:
    assert first_document(pa.table({"a": [1, 2]})) == {"a": 1}


def test_a_projection_has_no_list_steps_and_no_path_below_another() -> None:
    assert projection(["a.b", "a", "disks[].used", "disks[0].name"]) == [
        "a",
        "disks.name",
        "disks.used",
    ]
