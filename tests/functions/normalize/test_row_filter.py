"""Which records match a filter."""

import pyarrow as pa
import pytest

from functions.normalize import row_filter
from functions.normalize.columns import columns_of
from functions.normalize.mapping import Where
from functions.normalize.row_filter import filter_text, matches

RECORDS = [
    {"name": "cpu", "tags": {"cpu": "cpu-total"}, "n": 1, "ok": True},
    {"name": "cpu", "tags": {"cpu": "cpu0"}, "n": 2, "ok": False},
    {"name": "mem", "n": 1.5},
    {"name": "[x]", "tags": {}},
]


@pytest.mark.parametrize(
    ("where", "places"),
    [
        ({"name": "cpu"}, [0, 1]),
        ({"name": ("cpu", "mem")}, [0, 1, 2]),
        ({"name": "cpu", "tags.cpu": "cpu-total"}, [0]),
        ({"tags.cpu": ("cpu-total", "")}, [0, 2, 3]),
        ({"tags.cpu": "cpu[0-9]*"}, [1]),
        ({"name": "[x]"}, [3]),
        ({"name": "!cpu"}, [2, 3]),
        ({"name": ("!m*", "!cpu")}, [3]),
        ({"n": 1}, [0]),
        ({"n": "1.5"}, [2]),
        ({"ok": True}, [0]),
        ({"gone": "x"}, []),
        ({"gone": ""}, [0, 1, 2, 3]),
        ({"gone": "!x"}, [0, 1, 2, 3]),
    ],
)
def test_a_record_matches_by_the_text_of_its_fields(where: Where, places: list[int]) -> None:
    mask = matches(columns_of(RECORDS), where, len(RECORDS))
    assert mask is not None
    assert mask.nonzero()[0].tolist() == places


def test_columns_of_a_table_are_filtered_alike() -> None:
    columns = columns_of(pa.table({"CPU": ["-1", "0", None], "n": [1, 2, 3]}))
    mask = matches(columns, {"CPU": ("-1", "")}, 3)
    assert mask is not None
    assert mask.tolist() == [True, False, True]
    assert matches(columns, {}, 3) is None


def test_a_filter_is_shown_in_one_line() -> None:
    assert filter_text({"name": ("cpu", "mem"), "n": 1}) == "name = cpu or mem, n = 1"


def test_a_long_value_is_matched_and_not_cached() -> None:
    values = ["x" * 5000, "x"]
    before = row_filter._short_fits.cache_info().currsize
    mask = matches(columns_of([{"a": value} for value in values]), {"a": "x*"}, 2)
    assert mask is not None
    assert mask.all()
    assert row_filter._short_fits.cache_info().currsize <= before + 1
