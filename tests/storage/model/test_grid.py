from datetime import UTC, datetime, timedelta, timezone

import pytest

from storage.model import grid
from storage.model.grid import QUANTILE_COLUMNS, STEP, floor_step, schema_hash


def test_a_step_starts_at_full_five_minutes() -> None:
    ts = datetime(2026, 5, 6, 12, 4, 59, 999999, tzinfo=UTC)
    assert floor_step(ts) == datetime(2026, 5, 6, 12, 0, tzinfo=UTC)


def test_the_start_of_a_step_is_its_own_floor() -> None:
    start = datetime(2026, 5, 6, 12, 5, tzinfo=UTC)
    assert floor_step(start) == start
    assert floor_step(start - timedelta(microseconds=1)) == start - STEP


def test_steps_are_those_of_utc_in_every_time_zone() -> None:
    nepal = timezone(timedelta(hours=5, minutes=45))
    ts = datetime(2026, 5, 6, 12, 7, tzinfo=nepal)
    assert floor_step(ts) == floor_step(ts.astimezone(UTC))
    assert floor_step(ts).tzinfo is nepal


def test_the_columns_of_the_quantiles_are_named_by_their_percentage() -> None:
    assert QUANTILE_COLUMNS == ("p02", "p10", "p25", "p50", "p75", "p90", "p98")


def test_the_schema_hash_changes_with_the_contract_only(monkeypatch: pytest.MonkeyPatch) -> None:
    before = schema_hash()
    assert len(before) == 16
    assert schema_hash() == before
    monkeypatch.setattr(grid, "HORIZON_STEPS", 48)
    assert schema_hash() != before
