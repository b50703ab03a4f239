"""Time fields of MongoDB: kinds of values, paths into arrays, and what cannot be read as a time."""

from datetime import UTC, datetime

import pytest
from bson import Binary, MinKey, ObjectId, Timestamp

from functions.connectors.mongodb.time_field import (
    UNKNOWN,
    as_time,
    first_value,
    kind_of,
    no_time,
    set_at,
    skipped,
    type_counts,
    value_at,
)
from tests.conftest import NOW
from tests.functions.connectors.mongodb.mongod_rig import document

SECOND = datetime(2026, 5, 6, 12, tzinfo=UTC)
BUCKET = {"_id": ObjectId(), "host": "a", "samples": [{"ts": NOW, "cpu": 1.0}]}


def test_a_value_is_found_at_a_key_with_dots_and_at_a_path():
    assert value_at({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert value_at({"a": {"b": 2}}, "a.b") == 2
    assert value_at({"a": 3}, "a.b") is None


def test_a_value_is_replaced_where_it_was_found():
    nested, dotted = {"a": {"b": 2}}, {"a.b": 1, "a": {"b": 2}}
    set_at(nested, "a.b", 9)
    set_at(dotted, "a.b", 9)
    assert (nested, dotted) == ({"a": {"b": 9}}, {"a.b": 9, "a": {"b": 2}})


def test_timestamps_and_object_ids_are_times_in_utc():
    assert as_time(Timestamp(int(SECOND.timestamp()), 7)) == SECOND
    assert as_time(ObjectId.from_datetime(SECOND)) == SECOND
    assert (as_time(5), as_time("x")) == (5, "x")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (NOW, "date"), ("2026", "text"), (5, "number"), (True, None), ([NOW], None),
        (Timestamp(5, 0), "timestamp"), (ObjectId(), "object id"), (Binary(b"x"), None),
    ],
)  # fmt: skip
def test_the_kind_of_a_value(value, kind):
    assert kind_of(value) == kind


def test_a_path_through_a_list_leads_to_its_first_element():
    assert first_value(BUCKET, "samples.ts") == (NOW, "samples")
    assert first_value(BUCKET, "host") == ("a", None)
    assert first_value({"a": []}, "a.b") == (None, "a")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (("samples[0].ts",), "the time 'samples.ts' lies in the array 'samples': write unwind ="),
        (("time", "ts"), "the newest has _id (object id), host (text), samples (array of 1): wr"),
        (("when",), "has a time in 'when'; the newest has _id (object id), host (text), samples"),
        (("when",), "'_id' holds the time of the insert"),
    ],
)  # fmt: skip
def test_what_has_no_time_is_described_with_the_remedy(fields, says):
    assert says in no_time("m.c", BUCKET, fields, None)


def test_each_type_that_is_no_time_has_a_sentence():
    assert list(skipped({"missing": 2, "array": 1, "null": 1000}, "ts")) == [
        "1 document skipped: 'ts' holds array, expected a time",
        "2 documents skipped: 'ts' is missing, expected a time",
        "1,000 documents or more skipped: 'ts' is null, expected a time",
    ]
    assert "could not be counted within the timeout" in next(skipped({UNKNOWN: 1}, "ts"))


@pytest.mark.parametrize("indexed", [True, False])
def test_types_are_counted_by_an_index_and_without_one(collection, indexed):
    values = [NOW, NOW, "2026", 5, 5.5, Timestamp(5, 0), None, MinKey(), True]
    collection.insert_many([*(document(timestamp=each) for each in values), {"hostname": "a"}])
    counts = type_counts(collection, "timestamp", None, indexed, 5000)
    no_times = {"null": 1, "missing": 1, "minKey": 1, "bool": 1}
    kinds = {"date": 2, "text": 1, "number": 2, "timestamp": 1}
    assert counts == no_times | (dict.fromkeys(kinds, 1) if indexed else kinds)
