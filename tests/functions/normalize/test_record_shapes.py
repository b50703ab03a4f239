"""Records out of lists within documents, and out of columns per series."""

from typing import Any

import pyarrow as pa

from functions.normalize.mapping import read_mapping
from functions.normalize.record_shapes import shaped
from storage.model.reject_log import RejectLog

HOSTS = {
    "os": "Linux",
    "hosts": [
        {"name": "a", "stats": [{"cpu": 1}, {"cpu": 2}]},
        {"name": "b", "stats": [{"cpu": 3, "name": "inner"}]},
        {"name": "c", "stats": []},
    ],
}


def shape(documents: Any, **mapping: Any) -> tuple[list[dict[str, Any]], RejectLog]:
    rejects = RejectLog()
    records = shaped(documents, read_mapping(mapping), rejects)
    return records.to_pylist() if isinstance(records, pa.Table) else list(records), rejects


def test_records_have_the_fields_around_them() -> None:
    records, _ = shape([HOSTS], records="hosts[].stats[]")
    assert records == [
        {"os": "Linux", "name": "a", "cpu": 1},
        {"os": "Linux", "name": "a", "cpu": 2},
        {"os": "Linux", "name": "inner", "cpu": 3},
    ]


def test_the_first_path_that_is_there_counts_and_a_document_without_one_is_a_record() -> None:
    documents = [{"b": [{"x": 1}]}, {"x": 2}, {"a": [{"x": 3}, 7]}]
    assert shape(documents, records=["a[]", "b[]"])[0] == [{"x": 1}, {"x": 2}, {"x": 3}]


def test_documents_without_any_of_the_paths_stay_as_they_are() -> None:
    table = pa.table({"x": [1]})
    rejects = RejectLog()
    assert shaped(table, read_mapping({"records": "a[]"}), rejects) is table
    assert shaped(table, read_mapping({}), rejects) is table


WIDE = {"pattern": r"^(?P<server>\w+)/(?P<field>\w+)$", "time": "^When"}


def test_a_column_per_server_becomes_a_record_per_server() -> None:
    table = pa.table(
        {"When (UTC)": ["t1", "t2"], "a/cpu": [1, 2], "a/mem": [3, 4], "b/cpu": [5, 6]}
    )
    records, rejects = shape(table, columns=WIDE)
    assert records == [
        {"time": "t1", "server": "a", "cpu": 1, "mem": 3},
        {"time": "t2", "server": "a", "cpu": 2, "mem": 4},
        {"time": "t1", "server": "b", "cpu": 5, "mem": None},
        {"time": "t2", "server": "b", "cpu": 6, "mem": None},
    ]
    assert not rejects


def test_documents_are_spread_like_tables() -> None:
    documents = [{"When": "t1", "a/cpu": 1, "b/cpu": 5}, {"When": "t2", "other": 1}]
    assert shape(documents, columns=WIDE)[0] == [
        {"time": "t1", "server": "a", "cpu": 1},
        {"time": "t1", "server": "b", "cpu": 5},
        {"time": "t2", "other": 1},
    ]


def test_without_the_group_field_the_value_is_called_value() -> None:
    table = pa.table({"ts": ["t1"], "web1:9100": [1]})
    records, _ = shape(table, columns={"pattern": r"^(?P<server>\w+):\d+$"})
    assert records == [{"ts": "t1", "server": "web1", "value": 1}]


def test_columns_that_are_the_same_field_are_refused_with_their_names() -> None:
    table = pa.table({"ts": ["t1", "t2"], "a:1": [1, 2], "a:2": [3, 4], "b:1": [5, 6]})
    records, rejects = shape(table, columns={"pattern": r"^(?P<server>\w+):\d+$"})
    assert [record["server"] for record in records] == ["b", "b"]
    [reason] = rejects.ranked()
    assert (reason.reason, reason.count) == ("columns: 2 of them are 'value' of a", 4)
    assert reason.example == "a:1, a:2"
