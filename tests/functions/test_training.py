from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.engine.runner import Runner
from functions.training import training
from storage.config.settings import Settings
from storage.model.grid import HORIZON_STEPS
from tests.conftest import LakeFixture

NOW = datetime(2026, 5, 14, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def lake(house: LakeFixture) -> LakeFixture:
    """A fleet whose loss has been high for 72 h."""
    house.put("drift", [
        {"scope": "fleet", "name": "fleet", "ts": NOW - n * HOUR, "drifting": True}
        for n in range(72)
    ])  # fmt: skip
    house.commit(NOW)
    return house


def decided(house: LakeFixture, now: datetime = NOW) -> dict[str, Any] | None:
    """Run the function, commit what it decides, and return it."""
    runner = Runner(house.folders, Settings())
    run = runner.run(training, "test", now)
    assert run.error is None, run.error
    runner.flush()
    house.commit(now)
    made = run.batch.rows.get("trainings")
    row: dict[str, Any] | None = made.to_pylist()[0] if made else None
    return row


def test_a_high_loss_makes_one_training_due(lake: LakeFixture) -> None:
    row = decided(lake)
    assert row is not None
    assert (row["event"], row["cause"]) == ("due", "loss")
    assert row["training"] == "20260514-120000-loss"
    assert decided(lake, NOW + HOUR) is None


def test_it_waits_for_the_hours_in_which_less_cpu_is_forecast(lake: LakeFixture) -> None:
    lake.put("forecasts", [{
        "server": "a", "metric": "cpu_user_pct", "issued_at": NOW, "made_at": NOW, "state": "ok",
        "p50": [50.0] * 36 + [5.0] * (HORIZON_STEPS - 36),
    }])  # fmt: skip
    past = [{"server": "a", "ts": NOW - n * HOUR, "cpu_user_pct_mean": 40.0} for n in range(1, 24)]
    lake.put("metrics_5m", past)
    lake.commit(NOW)
    row = decided(lake)
    assert row is not None
    assert row["event"] == "postponed"
    assert row["reason"] == (
        "the loss has been over its limit for 72 h; waits for the quietest predicted hour, "
        "Thu 15:00 UTC"
    )


def test_a_request_is_taken_up_and_the_last_training_keeps_its_distance(
    house: LakeFixture,
) -> None:
    earlier = {"training": "a", "ts": NOW - HOUR, "cause": "person"}
    house.put("trainings", [earlier | {"event": "started"}])
    house.put("trainings", [earlier | {"event": "failed", "ts": NOW - HOUR / 2}])
    house.put("trainings", [
        {"training": "b", "ts": NOW, "event": "requested", "cause": "person", "reason": "by me"}
    ])  # fmt: skip
    house.commit(NOW)
    row = decided(house)
    assert row is not None
    assert (row["training"], row["event"]) == ("b", "postponed")
    assert "not before 2026-05-14 17:00 UTC, 6 h after the last training" in row["reason"]
    row = decided(house, NOW + 6 * HOUR)
    assert row is not None
    assert (row["training"], row["event"]) == ("b", "due")


def test_a_model_that_serves_for_thirty_days_is_due(house: LakeFixture) -> None:
    house.put("models", [{"ts": NOW - timedelta(days=30), "event": "serving", "model": "m"}])
    house.commit(NOW)
    row = decided(house)
    assert row is not None
    assert (row["cause"], row["reason"]) == ("calendar", "the last training was 30 days ago")
