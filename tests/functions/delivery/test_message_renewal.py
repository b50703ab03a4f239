from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.delivery.message import Companion
from functions.delivery.message_renewal import newest_odds, renewed, renewed_group
from functions.engine.window import Window
from tests.functions.delivery.memory_lakes import memory_lake, put
from tests.functions.delivery.messages import NOW, message

LATER = NOW + timedelta(minutes=10)


def odds(**fields: Any) -> dict[str, Any]:
    known = {"issued_at": LATER, "value": 93.0, "p_60m": 0.8, "earliest": None,
             "likely": NOW + timedelta(minutes=30), "latest": NOW + timedelta(hours=1)}  # fmt: skip
    return known | fields


def test_an_open_message_has_the_newest_value_odds_and_times() -> None:
    made = renewed(message(), odds())
    assert (made.value, made.odds, made.earliest) == (93.0, 0.8, None)
    assert made.likely == NOW + timedelta(minutes=30)
    assert made.ts == NOW  # the id of what was sent stays


def test_without_odds_of_its_horizon_its_times_stay() -> None:
    made = renewed(message(lead_minutes=None), odds())
    assert (made.value, made.odds, made.likely) == (93.0, 0.62, message().likely)


@pytest.mark.parametrize(
    ("fields", "row"),
    [({}, None), ({"phase": "over"}, odds()), ({}, odds(issued_at=NOW - timedelta(minutes=5)))],
)
def test_what_is_closed_or_newer_stays_as_it_is(fields: dict[str, Any], row: Any) -> None:
    assert renewed(message(**fields), row) == message(**fields)


def test_the_newest_odds_of_each_series_are_read(tmp_path: Path) -> None:
    row = {"server": "db-7", "metric": "disk_usage_pct"}
    with memory_lake(tmp_path) as lake:
        put(lake, "odds", [
            row | {"issued_at": NOW - timedelta(minutes=m), "value": float(m)} for m in (1, 6, 40)
        ])  # fmt: skip
        found = newest_odds(Window(lake.reader, NOW), [message(), message(server="other")])
    assert {key: each["value"] for key, each in found.items()} == {("db-7", "disk_usage_pct"): 1.0}


def test_all_of_a_group_get_their_newest_runway() -> None:
    likely = NOW + timedelta(minutes=5)
    other = Companion("e2", "predicted", server="db-8", metric="disk_usage_pct", value=90.0)
    group = message(companions=(other,), others=1)
    row = {"issued_at": NOW, "value": 93.0, "likely": likely}
    (companion,) = renewed_group(group, {("db-8", "disk_usage_pct"): row}).companions
    assert (companion.value, companion.likely) == (93.0, likely)
