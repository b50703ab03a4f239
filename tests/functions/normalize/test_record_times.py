"""Times of records: local times by server, two columns, and the limits, as a mapping reads them."""

import tomllib
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from functions.normalize.mapper import Mapper
from functions.normalize.mapping import read_mapping
from storage.model.time_limits import STOCK_LIMITS
from tests.conftest import NOW


def mapper(text: str = "") -> Mapper:
    return Mapper(read_mapping(tomllib.loads(text)), "shop")


BERLIN = "time = { field = 'ts', zone = 'Europe/Berlin' }"
DAYS = "time = { date = 'day', time = 'hour', zone = 'UTC' }"


def local(*clock: str, server: str = "a") -> list[dict[str, Any]]:
    return [{"ts": f"2026-10-25 {each}", "hostname": server, "load": 1} for each in clock]


def test_the_repeated_hour_is_read_by_server_and_page_after_page() -> None:
    reader = mapper(BERLIN)
    first = local("01:30", "02:00", "02:30")
    pages = [[*first, *local("01:50", "02:10", server="b")], local("02:00", "02:30", "03:00")]
    rows = [row for page in pages for row in reader.map(page).rows.to_pylist()]
    hours = [f"{row['ts']:%H:%M}" for row in rows if row["server"] == "a"]
    assert hours == ["23:30", "00:00", "00:30", "01:00", "01:30", "02:00"]
    assert [f"{row['ts']:%H:%M}" for row in rows if row["server"] == "b"] == ["23:50", "00:10"]


def test_times_of_the_repeated_hour_that_nothing_tells_apart_are_kept_and_counted() -> None:
    mapped = mapper(BERLIN).map(local("02:00", "02:15"))
    assert (mapped.rows.num_rows, mapped.rejects.count) == (2, 0)
    [note] = mapped.rejects.sentences()
    assert "the first is assumed, as '2026-10-25 02:00' of a: write times with" in note
    assert note.endswith("(2 times)")


def test_times_that_do_not_exist_are_refused_with_their_count() -> None:
    days = [{"ts": f"2026-03-29 02:{m}", "hostname": "a", "load": 1} for m in (10, 20)]
    mapped = mapper(BERLIN).map([*days, *local("12:00")])
    assert (mapped.rows.num_rows, mapped.rejects.count) == (1, 2)
    assert "does not exist in Europe/Berlin" in mapped.rejects.sentences()[0]


@pytest.mark.parametrize("form", [list, pa.Table.from_pylist])
def test_date_and_time_may_be_in_two_columns(form: Any) -> None:
    rows = [{"day": "2026-05-06", "hour": f"12:{m:02}", "hostname": "a", "load": m} for m in (0, 5)]
    lacking = {"day": "2026-05-06", "hour": None, "hostname": "b", "load": 1}
    mapped = mapper(DAYS).map(form([*rows, lacking]))
    assert [f"{ts:%d %H:%M}" for ts in mapped.rows["ts"].to_pylist()] == ["06 12:00", "06 12:05"]
    assert "time (field day and hour): missing" in mapped.rejects.sentences()[0]


def test_dates_without_a_time_of_day_are_noted_where_a_server_has_several_rows_of_one() -> None:
    rows = [{"day": "2026-05-06", "hostname": "a", "load": m} for m in range(3)]
    [note] = mapper("time = { field = 'day', zone = 'UTC' }").map(rows).rejects.sentences()
    assert "name the columns of both in mapping.time.date and mapping.time.time (2 times)" in note


@pytest.mark.parametrize(
    ("ts", "says"),
    [
        ("2026-05-06T12:06:00Z", "lies more than 5 minutes in the future, as '2026-05-06T12:06"),
        ("2011-05-06T12:06:00Z", "is older than 10 years"),
        (datetime(1, 1, 1, tzinfo=UTC), "is older than 10 years"),
    ],
)
def test_a_time_that_cannot_be_true_is_refused_with_its_server(ts: Any, says: str) -> None:
    documents = [{"ts": ts, "hostname": "web1", "load": 1}, {"ts": NOW, "hostname": "b", "load": 2}]
    mapped = mapper().map(documents, STOCK_LIMITS.at(NOW))
    assert mapped.rows["server"].to_pylist() == ["b"]
    assert mapped.rejects.count == 1
    assert says in mapped.rejects.sentences()[0]
    assert "of web1: " in mapped.rejects.sentences()[0]
