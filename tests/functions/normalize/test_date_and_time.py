"""Times in two columns, of the forms that files and documents have."""

from datetime import UTC, date, datetime, time
from typing import Any

import pyarrow as pa
import pytest

from functions.normalize.columns import as_list, columns_of
from functions.normalize.date_and_time import time_column
from functions.normalize.mapping import Time
from functions.normalize.timestamps import micros

TWO = Time(date="day", time="hour", zone="UTC")
NOON_US = int(datetime(2026, 5, 6, 12, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("days", "hours"),
    [
        (pa.array(["2026-05-06"]), pa.array(["12:00:00"])),
        (pa.array([" 2026-05-06"]), pa.array([" 12:00 "])),
        (pa.array([date(2026, 5, 6)]), pa.array([time(12)])),
        (pa.array([datetime(2026, 5, 6)]), pa.array(["12:00"])),  # noqa: DTZ001
        (["2026-05-06"], ["12:00:00"]),
        ([datetime(2026, 5, 6, tzinfo=UTC)], ["12:00:00"]),
        ([date(2026, 5, 6)], [datetime(1899, 12, 30, 12)]),  # noqa: DTZ001 - as Excel has it
    ],
)
def test_date_and_time_of_day_are_one_time(days: Any, hours: Any) -> None:
    if isinstance(days, pa.Array):
        documents: Any = pa.table({"day": days, "hour": hours})
    else:
        documents = [{"day": d, "hour": h} for d, h in zip(days, hours, strict=True)]
    column = time_column(columns_of(documents), TWO)
    assert micros(column, TWO, lambda *_: None).tolist() == [NOON_US]


@pytest.mark.parametrize("lacking", [{"day": None}, {"hour": None}, {"hour": ""}])
def test_a_record_without_one_of_both_has_no_time(lacking: dict[str, Any]) -> None:
    whole = {"day": "2026-05-06", "hour": "12:00"}
    column = time_column(columns_of([whole, whole | lacking]), TWO)
    assert as_list(column)[1] is None


def test_a_page_without_one_of_both_has_no_times() -> None:
    assert time_column(columns_of(pa.table({"day": ["2026-05-06"]})), TWO) is None


def test_of_several_fields_the_first_that_a_record_has_counts() -> None:
    columns = columns_of([{"a": "", "b": "x"}, {"a": "y"}, {}])
    assert time_column(columns, Time(field=("a", "b"))) == ["x", "y", None]
