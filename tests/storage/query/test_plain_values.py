"""Plain values; every SQL type is tested in tests/scripts/cli/test_sql_types.py."""

import json
from decimal import Decimal

import pyarrow as pa
import pytest

from storage.query.plain_values import json_text, plain_values


@pytest.mark.parametrize(
    ("value", "text"),
    [(float("nan"), '"NaN"'), (float("-inf"), '"-Infinity"'), (Decimal("1.50"), "1.50"),
     ({"a": [None, "x"]}, '{"a": [null, "x"]}')],
)  # fmt: skip
def test_json_has_text_where_it_has_no_number(value: object, text: str) -> None:
    assert json_text(value) == text
    json.loads(text)


def test_times_beyond_any_calendar_are_text() -> None:
    times = pa.array([2**63 - 1, -(2**63) + 1, 0, None], pa.timestamp("us", "UTC"))
    assert plain_values(times) == ["infinity", "-infinity", "1970-01-01 00:00:00Z", None]
