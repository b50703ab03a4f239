"""Values as JSON has them; every SQL type is in tests/scripts/cli/test_sql_types.py."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from storage.query.plain_values import json_text, plain_values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (1.5, "1.5"), (Decimal("1E-7"), "0.0000001"),
        (float("nan"), '"NaN"'), (float("inf"), '"Infinity"'), (float("-inf"), '"-Infinity"'),
        ('a "b"', '"a \\"b\\""'), ([1, [None]], "[1, [null]]"),
        ({"a": {"b": 1}}, '{"a": {"b": 1}}'),
    ],
)  # fmt: skip
def test_a_value_is_json_and_what_json_has_no_sign_for_is_text(value: Any, text: str) -> None:
    assert json_text(value) == text


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([1, None]), [1, None]),
        (pa.array([datetime(2026, 5, 6, 12, 0, 30, 250000, UTC), None]),
         ["2026-05-06 12:00:30.25Z", None]),
        (pa.array([date(2026, 5, 6)]), ["2026-05-06"]),
        (pa.array([b"a\x00\"", None]), ["a\\x00\\x22", None]),
        (pa.array([[1, 2], None, []]), [[1, 2], None, []]),
        (pa.array([{"a": b"x"}, None]), [{"a": "x"}, None]),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())), [{"k": 1}]),
        (pa.array(["a", "a"]).dictionary_encode(), ["a", "a"]),
        (pa.array([(14, 3, -1_500_000_000)], pa.month_day_nano_interval()),
         ["14 months 3 days -00:00:01.5"]),
        (pa.chunked_array([[1], [2]]), [1, 2]),
    ],
)  # fmt: skip
def test_a_column_is_plain_values_and_missing_ones_are_none(column: Any, values: list[Any]) -> None:
    assert plain_values(column) == values


def test_times_beyond_any_calendar_are_text() -> None:
    times = pa.array([2**63 - 1, -(2**63) + 1, 0, None], pa.timestamp("us", "UTC"))
    assert plain_values(times) == ["infinity", "-infinity", "1970-01-01 00:00:00Z", None]
