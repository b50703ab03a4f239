from datetime import timedelta
from typing import Any

import pytest

from functions.engine.runner import Runner
from functions.warm_start import warm_start
from storage.config.settings import Settings
from tests.conftest import NOW, LakeFixture

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def fill(house: LakeFixture, days: float = 8.0) -> None:
    """A lake with history, loaded 5 minutes ago, and one forecast."""
    loaded = NOW - 5 * MINUTE
    steps = [{"server": "a", "ts": ts, "load_average_mean": 1.0}
             for ts in (NOW - days * DAY, NOW - 10 * MINUTE)]  # fmt: skip
    house.put("metrics_5m", steps, created_at=loaded)
    house.put("forecasts", [{
        "server": "a", "metric": "load_average", "issued_at": loaded, "made_at": loaded,
        "state": "ok", "p50": [1.0] * 96,
    }], created_at=loaded)  # fmt: skip
    house.commit(loaded)


def decided(house: LakeFixture) -> dict[str, Any] | None:
    """Run the function, commit what it decides, and return it."""
    runner = Runner(house.folders, Settings())
    run = runner.run(warm_start, "test", NOW)
    assert run.error is None, run.error
    house.commit()
    made = run.batch.rows.get("trainings")
    row: dict[str, Any] | None = made.to_pylist()[0] if made else None
    return row


def test_a_lake_that_came_with_days_of_history_is_learned_from_once(house: LakeFixture) -> None:
    fill(house)
    row = decided(house)
    assert row is not None
    assert (row["event"], row["cause"]) == ("due", "history")
    assert row["training"] == f"{NOW:%Y%m%d-%H%M%S}-history"
    assert row["reason"] == "8.0 days of history, and no scores of it"
    assert decided(house) is None


def test_history_is_waited_for_while_it_is_loaded(house: LakeFixture) -> None:
    fill(house)
    house.put("metrics_5m", [{"server": "a", "ts": NOW - 9 * DAY, "load_average_mean": 1.0}])
    house.commit(NOW - MINUTE)
    assert decided(house) is None


def test_without_forecasts_or_with_little_history_it_waits(house: LakeFixture) -> None:
    assert decided(house) is None
    fill(house, days=2.5)
    assert decided(house) is None


@pytest.mark.parametrize("obstacle", ["fitted", "own model", "turned off"])
def test_nothing_is_due_where_a_warm_start_is_not_wanted(house: LakeFixture, obstacle: str) -> None:
    fill(house)
    if obstacle == "fitted":
        house.put("odds_models", [{"ts": NOW - DAY, "kind": "calibration", "metric_group": "all",
                                   "lead_minutes": 60}])  # fmt: skip
        house.commit()
    elif obstacle == "own model":
        house.folders.models.mkdir(exist_ok=True)
        (house.folders.models / "serving.onnx").touch()
    else:
        house.folders.settings.write_text("[training]\nautomatic = false\n")
    assert decided(house) is None


def test_an_attempt_that_failed_is_repeated_with_the_reason(house: LakeFixture) -> None:
    fill(house)
    failed = {"training": "a-history", "cause": "history", "event": "failed", "reason": "no memory"}
    house.put("trainings", [failed | {"ts": NOW - 5 * MINUTE}])
    house.commit()
    assert decided(house) is None
    house.put("trainings", [failed | {"ts": NOW - 20 * MINUTE, "training": "b-history"}])
    house.commit()
    runner = Runner(house.folders, Settings())
    run = runner.run(warm_start, "test", NOW + 60 * MINUTE)
    (row,) = run.batch.rows["trainings"].to_pylist()
    assert row["event"] == "due"
    assert row["reason"].endswith("another attempt, as that of 65 min ago failed: no memory")


@pytest.mark.parametrize(("events", "due"), [(3, True), (30, False)])
def test_history_that_comes_late_is_learned_from_while_few_breaches_are_known(
    house: LakeFixture, events: int, due: bool
) -> None:
    fill(house)
    fit = {"ts": NOW - 60 * MINUTE, "kind": "calibration", "metric_group": "all"}
    house.put("odds_models", [fit | {"lead_minutes": 60, "events": events}])
    house.commit()
    assert (decided(house) is not None) is due


def test_a_lake_that_grew_by_itself_is_not_replayed(house: LakeFixture) -> None:
    fill(house)
    began = NOW - 6 * DAY
    house.put("forecasts", [{
        "server": "b", "metric": "load_average", "issued_at": began, "made_at": began,
        "state": "abstained",
    }], created_at=began)  # fmt: skip
    house.commit(began)
    assert decided(house) is None
