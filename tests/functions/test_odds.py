from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from functions.engine.runner import Runner
from functions.odds import odds
from functions.risk import risk
from storage.config.settings import Settings
from storage.model.grid import HORIZON_STEPS, QUANTILE_COLUMNS, STEP, floor_step
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at

ORIGIN = floor_step(NOW)  # at a full hour
Rows = dict[tuple[str, str], dict[str, Any]]

# Median of memory in the first and in the last hours of the forecast, and the last reading.
FLEET = {"calm": (40.0, 40.0, 40.0), "rising": (40.0, 99.5, 40.0), "recovered": (99.5, 99.5, 40.0)}


def steps(memory: float, server: str) -> list[dict[str, Any]]:
    """The roll-ups of nine hours."""
    return [
        {"server": server, "ts": ORIGIN - i * STEP, "mem_used_pct_mean": memory}
        for i in range(1, 109)
    ]


def forecast(server: str, first: float, last: float, issued_at: datetime) -> dict[str, Any]:
    curves = {
        name: [value + i - 3 for value in [first] * 24 + [last] * (HORIZON_STEPS - 24)]
        for i, name in enumerate(QUANTILE_COLUMNS)
    }
    facts = {"metric": "mem_used_pct", "issued_at": issued_at, "made_at": issued_at, "state": "ok"}
    return {"server": server, "model": "abc", **facts, **curves}


def issue(house: LakeFixture, issued_at: datetime) -> None:
    """Put in the forecasts of an issue, and run the odds a few seconds after it."""
    house.put("forecasts", [forecast(name, *each[:2], issued_at) for name, each in FLEET.items()])
    house.commit(issued_at)
    assert Runner(house.folders, Settings()).run(odds, "test", issued_at + STEP / 10).error is None
    house.commit(issued_at)


def rows(house: LakeFixture, table: str, at: datetime) -> Rows:
    found = house.reader.query(f"SELECT * FROM {table} WHERE issued_at = $at", at=at).to_pylist()
    return {(row["server"], row.get("metric", "")): row for row in found}


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    """A lake with two issues of odds, of which risk has read the first; it is only read."""
    with house_at(tmp_path_factory.mktemp("odds")) as house:
        house.put("server_facts", [
            {"server": name, "ts": ORIGIN - timedelta(days=1), "profile": "generic", "cores": 4}
            for name in FLEET
        ])  # fmt: skip
        was = {"calm": 40.0, "rising": 40.0, "recovered": 99.5}
        house.put("metrics_5m", [step for name in FLEET for step in steps(was[name], name)])
        house.put("metrics", [
            {"server": name, "ts": NOW, "mem_used_pct": each[2]} for name, each in FLEET.items()
        ])  # fmt: skip
        issue(house, ORIGIN)
        assert Runner(house.folders, Settings()).run(risk, "test", NOW).error is None
        house.commit()
        issue(house, ORIGIN + STEP)
        yield house


def test_each_metric_with_a_forecast_has_odds_level_and_value(issued: LakeFixture) -> None:
    made = rows(issued, "odds", ORIGIN)
    assert set(made) == {(name, "mem_used_pct") for name in FLEET}
    rising = made["rising", "mem_used_pct"]
    assert (rising["level"], rising["value"], rising["model"]) == (98, 40, "abc")
    assert (rising["origin"], rising["checked"]) == ("bands", False)
    assert rising["p_120m"] < 0.01 < 0.7 < rising["p_240m"] == rising["p_480m"]
    assert rising["raw_240m"] == rising["p_240m"]  # nothing was fitted yet
    assert rising["any_240m"] is None
    assert rising["earliest"] == rising["likely"] == ORIGIN + 24 * STEP
    assert rising["latest"] is None


def test_small_odds_are_written_every_quarter_of_an_hour_only(issued: LakeFixture) -> None:
    assert {name for name, _ in rows(issued, "odds", ORIGIN + STEP)} == {"rising", "recovered"}


def test_the_fleet_has_its_chance_beside_what_it_expects(issued: LakeFixture) -> None:
    (fleet,) = issued.reader.query(
        "SELECT * FROM fleet_odds WHERE issued_at = $at", at=ORIGIN
    ).to_pylist()
    assert fleet["servers"] == 3
    # `recovered` was in a breach: it is no breach to come
    assert fleet["expected_480m"] == pytest.approx(
        rows(issued, "odds", ORIGIN)["rising", "mem_used_pct"]["p_480m"], abs=1e-3
    )
    assert fleet["p_30m"] < 0.02 < 0.5 < fleet["p_480m"] < 0.6


def test_risk_shows_the_odds_as_they_were_issued(issued: LakeFixture) -> None:
    risks, made = rows(issued, "risks", NOW), rows(issued, "odds", ORIGIN)
    rising, its_odds = risks["rising", ""], made["rising", "mem_used_pct"]
    assert rising["p_breach_480m"] == pytest.approx(its_odds["p_480m"], abs=1e-3)
    assert rising["breach_likely"] == its_odds["likely"]


def test_after_a_recovery_the_odds_fall_with_the_next_sample(issued: LakeFixture) -> None:
    risks, made = rows(issued, "risks", NOW), rows(issued, "odds", ORIGIN)
    assert made["recovered", "mem_used_pct"]["p_60m"] > 0.7
    assert risks["recovered", ""]["p_breach_480m"] < 0.02


def test_a_forecast_that_was_read_gives_no_odds_again(issued: LakeFixture) -> None:
    run = Runner(issued.folders, Settings()).run(odds, "test", ORIGIN + STEP)
    assert (run.outcome, run.error) == ("nothing", None)
