"""Cursor reader against a real mongod: order, pages, kinds of time value, each document once."""

from datetime import UTC, datetime, timedelta

import pytest
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128

from functions.connectors.connector import ReadOptions
from functions.connectors.mongodb.cursor_reader import CursorReader
from functions.connectors.mongodb.mongodb_connection import MongoConnection
from functions.connectors.mongodb.mongodb_reader import CODEC
from functions.normalize.mapping import Time
from storage.config.folders import Folders
from tests.conftest import NOW
from tests.functions.connectors.mongodb.mongod_rig import document, source_text
from tests.functions.connectors.source_reads import read_all, rows_of, servers_of

DAY = "2026-05-06"
OVERLAP = timedelta(minutes=2)


@pytest.fixture
def reader_of(collection, tmp_path):
    """Makes a reader of the date values in `timestamp`, with pages of 4."""

    def make(position=None) -> CursorReader:
        options = ReadOptions("shop", Folders.at(tmp_path), Time(("timestamp",)), ("hostname",))
        connection = MongoConnection("monitoring", collection.name, page=4)
        decoded = collection.with_options(codec_options=CODEC)
        return CursorReader(decoded, "timestamp", "date", options, connection, position)

    return make


def servers(pages) -> list[list[str]]:
    return [[each["hostname"] for each in page] for page in pages]


def test_pages_are_in_time_order_and_move_the_position(collection, reader_of):
    collection.insert_many([document(-i, f"s{i}") for i in range(6)])
    reader = reader_of()
    assert servers(reader.read(NOW, OVERLAP)) == [["s5", "s4", "s3", "s2"], ["s1", "s0"]]
    assert reader.position == {"at": "2026-05-06T12:00:30+00:00"}
    assert servers(reader.read(NOW, OVERLAP)) == []


def test_a_read_that_stops_in_the_middle_continues_there(collection, reader_of):
    collection.insert_many([document(i, f"s{i}") for i in range(6)])
    reader = reader_of()
    first = next(reader.read(NOW, OVERLAP))
    assert (servers([first]), reader.unfinished) == ([["s0", "s1", "s2", "s3"]], True)
    assert servers(reader.read(NOW, OVERLAP)) == [["s4", "s5"]]
    assert not reader.unfinished


def test_a_position_starts_at_the_overlap_before_it(collection, reader_of):
    collection.insert_many([document(second, f"s{-second}") for second in (-200, -100, 0)])
    reader = reader_of({"at": NOW.isoformat()})
    assert servers(reader.read(NOW, OVERLAP)) == [["s100", "s0"]]


def test_values_of_another_kind_and_other_fields_are_not_read(collection, reader_of):
    collection.insert_many([document(0, "date"), document(server="text", timestamp="2026")])
    reader = reader_of()
    (page,) = reader.read(NOW, OVERLAP)
    assert [set(each) for each in page] == [{"_id", "hostname", "timestamp"}]
    assert reader.is_of_kind({"timestamp": NOW})
    assert reader.is_of_kind({"timestamp": DatetimeMS(10**18)})
    assert not reader.is_of_kind({"timestamp": "2026"})


def test_a_date_outside_the_range_of_python_does_not_move_the_position(collection, reader_of):
    collection.insert_many([document(0), document(server="far", timestamp=DatetimeMS(10**15))])
    reader = reader_of()
    assert servers(reader.read(NOW, OVERLAP)) == [["db1", "far"]]
    assert datetime.fromisoformat(reader.position["at"]).astimezone(UTC) == NOW


def test_only_new_documents_are_read(mongod, collection, open_read):
    read = open_read(source_text(mongod, collection.name))
    collection.insert_one(document(0))
    first = read.run(NOW, None)
    collection.insert_one(document(5))
    second = read.run(NOW + timedelta(seconds=5), first.cursor)
    assert len(servers_of(first)) == 1
    assert [row["ts"] for row in rows_of(second)] == [NOW + timedelta(seconds=5)]


def test_a_late_document_within_the_overlap_is_read(mongod, collection, open_read):
    read = open_read(source_text(mongod, collection.name))
    collection.insert_one(document(0))
    cursor = read.run(NOW, None).cursor
    collection.insert_one(document(-110, "late"))
    assert servers_of(read.run(NOW + timedelta(seconds=40), cursor)) == ["late"]


@pytest.mark.parametrize("page", [1, 7, 5000])
def test_a_time_with_more_documents_than_a_page_is_read_completely(
    mongod, collection, open_read, page
):
    collection.insert_many([document(0, f"s{i}") for i in range(50)] + [document(5, "next")])
    rows, _ = read_all(open_read(source_text(mongod, collection.name, f"page = {page}")))
    assert sorted(row["server"] for row in rows) == sorted([f"s{i}" for i in range(50)] + ["next"])


@pytest.mark.parametrize(
    ("form", "times"),
    [
        ("iso", [f"{DAY}T12:00:00Z", f"{DAY}T12:00:20Z", f"{DAY}T12:00:25Z"]),
        ("iso", [f"{DAY} 14:00:00+02:00", f"{DAY} 14:00:20+02:00", f"{DAY} 14:00:25+02:00"]),
        ("epoch_s", [1778068800, 1778068820.0, 1778068825]),
        ("%Y/%m/%d %H.%M.%S", [f"2026/05/06 12.00.{second}" for second in ("00", "20", "25")]),
    ],
)  # fmt: skip
def test_text_and_numbers_are_times_too(mongod, collection, open_read, form, times):
    time = f'[mapping.time]\nfield = "timestamp"\nformat = "{form}"\nzone = "UTC"'
    read = open_read(source_text(mongod, collection.name, time))
    collection.insert_many([document(server="a", timestamp=each) for each in times[:2]])
    first, cursor = read_all(read)
    collection.insert_one(document(server="a", timestamp=times[2]))
    second, _ = read_all(read, cursor, NOW + timedelta(seconds=6))
    assert [row["ts"] for row in first] == [NOW - timedelta(seconds=s) for s in (30, 10)]
    assert [row["ts"] for row in second] == [NOW - timedelta(seconds=5)]


def test_decimals_are_numbers_and_times(mongod, collection, open_read):
    seconds = [Decimal128(f"{NOW.timestamp() + i:.3f}") for i in range(2)]
    collection.insert_many([
        document(timestamp=seconds[0], mem_used_pct=Decimal128("45.2")),
        document(timestamp=seconds[1], mem_used_pct=Decimal128("NaN")),
    ])  # fmt: skip
    time = "[mapping.time]\nfield = 'timestamp'\nformat = 'epoch_s'"
    batch = open_read(source_text(mongod, collection.name, time)).run(NOW, None)
    assert [row["ts"] for row in rows_of(batch)] == [NOW, NOW + timedelta(seconds=1)]
    assert [row["mem_used_pct"] for row in rows_of(batch)] == [pytest.approx(45.2), None]
    assert "Decimal128('NaN') of db1" in batch.reasons[0]


def test_local_text_is_read_in_both_passes_of_the_hour_that_the_clock_repeats(
    mongod, collection, open_read
):
    """The second pass sorts among the first, which was read already."""
    time = '[mapping.time]\nfield = "timestamp"\nzone = "Europe/Berlin"'
    read = open_read(source_text(mongod, collection.name, time))
    now, cursor, hours = datetime(2026, 10, 24, 23, 59, tzinfo=UTC), None, []
    for minute in range(-10, 130, 10):
        local = datetime(2026, 10, 25, 2) + timedelta(minutes=minute - 60 * (minute >= 60))  # noqa: DTZ001
        collection.insert_one(document(timestamp=str(local)))
        rows, cursor = read_all(read, cursor, now + timedelta(minutes=minute + 1))
        hours += [row["ts"] for row in rows]
    assert hours == [now + timedelta(minutes=minute + 1) for minute in range(-10, 130, 10)]


def test_date_and_time_in_two_fields_are_read_by_date_each_once(mongod, collection, open_read):
    time = '[mapping.time]\ndate = "day"\ntime = "hour"\nzone = "UTC"'
    read = open_read(source_text(mongod, collection.name, time))
    cursor, seen = None, []
    for minute in range(3):
        collection.insert_one(document(day=DAY, hour=f"11:5{minute}:00"))
        rows, cursor = read_all(read, cursor)
        seen += [f"{row['ts']:%H:%M}" for row in rows]
    assert seen == ["11:50", "11:51", "11:52"]
