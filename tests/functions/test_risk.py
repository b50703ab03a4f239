import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import functions
from functions.engine.runner import Runner
from functions.risk import risk
from storage.config.settings import Settings
from storage.model.grid import HORIZON_STEPS, QUANTILE_COLUMNS, STEP, floor_step
from storage.model.schema import table
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at

ORIGIN = floor_step(NOW)


def know(house: LakeFixture, *servers: str) -> None:
    facts = [{"server": s, "ts": NOW, "profile": "generic", "cores": 4} for s in servers]
    house.put("server_facts", facts)


def sample(server: str, memory: float, **age: float) -> dict[str, Any]:
    return {"server": server, "ts": NOW - timedelta(**age), "mem_used_pct": memory}


def forecast(server: str, value: float | None) -> dict[str, Any]:
    """A forecast of memory: its median is `value` all along, with a spread of two points."""
    curves = {
        name: None if value is None else [value + i - 3] * HORIZON_STEPS
        for i, name in enumerate(QUANTILE_COLUMNS)
    }
    reported = {"metric": "mem_used_pct", "issued_at": ORIGIN, "made_at": NOW, "state": "ok"}
    return {"server": server, **reported, **curves}


def climb(server: str, points_per_hour: float) -> list[dict[str, Any]]:
    """The roll-ups of an hour that ended at 88 %."""
    return [
        {
            "server": server,
            "ts": ORIGIN - (back + 1) * STEP,
            "mem_used_pct_mean": 88.0 - back * points_per_hour / 12,
        }
        for back in range(12)
    ]


READINGS = {"calm": 30.0, "doomed": 40.0, "lasting": 40.0, "unsaid": 40.0, "warm": 91.0,
            "worst": 99.5, "flat": 88.0, "climbing": 88.0}  # fmt: skip


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    """A lake whose servers were scored once; it is only read."""
    with house_at(tmp_path_factory.mktemp("scored")) as house:
        know(house, "unheard", *READINGS)
        house.put("metrics", [sample(s, memory, seconds=3) for s, memory in READINGS.items()])
        house.put("metrics", [sample("quiet", 40.0, minutes=30)])
        house.put("metrics_5m", climb("flat", 0) + climb("climbing", 12))
        curves = {"doomed": 99.5, "lasting": 40.0, "unsaid": None}
        house.put("forecasts", [forecast(server, value) for server, value in curves.items()])
        house.commit()
        assert Runner(house.folders, Settings()).run(risk, "test", NOW).error is None
        house.commit()
        yield house


def scores(house: LakeFixture) -> dict[str, dict[str, Any]]:
    """The risk of each server, the worst first."""
    rows = house.reader.query("SELECT * FROM risks ORDER BY score DESC").to_pylist()
    return {row["server"]: row for row in rows}


def test_every_known_server_is_scored_as_of_now(scored: LakeFixture) -> None:
    result = scores(scored)
    assert set(result) == {"unheard", "quiet", *READINGS}
    assert {row["issued_at"] for row in result.values()} == {NOW}


def test_the_columns_are_those_of_the_table(house: LakeFixture) -> None:
    know(house, "unheard")
    house.commit()
    batch = Runner(house.folders, Settings()).run(risk, "test", NOW).batch
    assert batch.rows["risks"].schema.equals(table("risks").arrow)


def test_an_empty_lake_has_nobody_to_score(house: LakeFixture) -> None:
    run = Runner(house.folders, Settings()).run(risk, "test", NOW)
    assert (run.outcome, run.error) == ("nothing", None)


def test_a_server_without_samples_is_not_healthy_and_that_is_said(scored: LakeFixture) -> None:
    unheard = scores(scored)["unheard"]
    assert (unheard["now_score"], unheard["severity"]) == (None, "Warning")
    assert [reason["text"] for reason in unheard["reasons"]] == ["no data yet"]


def test_a_server_that_fell_silent_says_since_when(scored: LakeFixture) -> None:
    (reason,) = scores(scored)["quiet"]["reasons"]
    assert reason["text"] == f"no data since {NOW - timedelta(minutes=30):%Y-%m-%d %H:%M} UTC"


def test_a_server_without_a_forecast_is_judged_by_the_present_alone(scored: LakeFixture) -> None:
    result = scores(scored)["worst"]
    assert (result["ahead_score"], result["p_breach_480m"]) == (None, None)
    assert result["score"] == result["now_score"] > 80


def test_a_server_of_which_the_model_abstained_has_no_odds(scored: LakeFixture) -> None:
    result = scores(scored)["unsaid"]
    assert (result["ahead_score"], result["p_breach_480m"]) == (None, None)


def test_the_forecast_counts_for_the_server_it_is_of(scored: LakeFixture) -> None:
    result = scores(scored)
    assert result["doomed"]["ahead_score"] > 80 > 10 > result["lasting"]["ahead_score"]
    assert result["doomed"]["breach_metric"] == "mem_used_pct"


def test_the_worst_server_comes_first_when_sorted_by_score(scored: LakeFixture) -> None:
    order = list(scores(scored))
    assert order[0] == "worst"
    assert order.index("doomed") < order.index("warm") < order.index("calm")


def test_a_metric_that_climbs_is_seen_in_the_last_hour(scored: LakeFixture) -> None:
    result = scores(scored)
    assert result["climbing"]["now_score"] > result["flat"]["now_score"]
    assert "climbing 12 points per hour" in result["climbing"]["reasons"][0]["text"]


def sources() -> list[Path]:
    """All of the room but the simulator, which writes what it knows."""
    room = Path(functions.__file__).parent
    everything = set(room.rglob("*.py")) - set((room / "simulator").rglob("*.py"))
    return sorted(everything - {room / "connectors" / "simulator.py"})


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_no_rule_and_no_model_reads_what_the_simulator_injected(path: Path) -> None:
    assert re.search(r"\btruth\b", path.read_text(), re.IGNORECASE) is None
