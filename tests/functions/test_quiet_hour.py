"""Quiet hour: what is answered from the forecasts and odds of the lake."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from functions.engine.runner import Runner
from functions.quiet_hour import quiet_hour
from storage.config.settings import Settings
from storage.model.grid import (
    CONTEXT_STEPS,
    HORIZON_STEPS,
    LEAD_MINUTES,
    QUANTILE_COLUMNS,
    STEP,
    floor_step,
)
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at

ORIGIN = floor_step(NOW)
QUIET_STEP = 48  # of the server `calm-later`
METRICS = ("net_in_mb_s", "net_out_mb_s", "load_average")


def steps(server: str, origin: datetime) -> list[dict[str, Any]]:
    values = {f"{name}_mean": 10.0 for name in METRICS} | {"cpu_idle_pct_mean": 99.9}
    return [
        {"server": server, "ts": origin - (i + 1) * STEP} | values for i in range(CONTEXT_STEPS)
    ]


def forecasts(
    server: str, medians: np.ndarray, origin: datetime, **changed: Any
) -> list[dict[str, Any]]:
    spread = np.linspace(-0.3, 0.3, len(QUANTILE_COLUMNS))
    lists = {q: (medians + s).tolist() for q, s in zip(QUANTILE_COLUMNS, spread, strict=True)}
    row = {"server": server, "issued_at": origin, "made_at": origin, "model": "m", "state": "ok"}
    return [row | lists | {"metric": name} | changed for name in METRICS]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    falling = np.where(np.arange(HORIZON_STEPS) < QUIET_STEP, 12.0, 3.0)
    with house_at(tmp_path_factory.mktemp("quiet")) as house:
        fill(house, falling, ORIGIN)
        yield Runner(house.folders, Settings())


def fill(house: LakeFixture, falling: np.ndarray, origin: datetime) -> None:
    """Servers that were forecast at `origin`: of falling use, of steady use, and without any."""
    names = ("calm-later", "steady", "blind")
    house.put("server_facts", [{"server": n, "ts": origin} for n in names])
    house.put("metrics_5m", [row for name in names for row in steps(name, origin)])
    house.put("forecasts", forecasts("calm-later", falling, origin))
    house.put("forecasts", forecasts("steady", np.full(HORIZON_STEPS, 10.0), origin))
    none = dict.fromkeys(QUANTILE_COLUMNS)
    blind = forecasts("blind", falling, origin, state="abstained", why="no skill: 1.4", **none)
    house.put("forecasts", blind)
    odds = {f"p_breach_{lead}m": 0.1 for lead in LEAD_MINUTES}
    house.put("risks", [{"server": "calm-later", "issued_at": origin} | odds])
    house.commit(origin)


def asked(runner: Runner, body: Any, now: Any = NOW) -> tuple[Any, tuple[str, ...]]:
    run = runner.run(quiet_hour, "test", now, body=body)
    assert run.error is None
    return run.batch.answer, run.batch.reasons


def test_the_answer_names_the_time_the_use_and_the_odds(runner: Runner) -> None:
    answer, _ = asked(runner, {"server": "calm-later", "lasts": "20m"})
    starts_at = ORIGIN + QUIET_STEP * STEP
    assert (answer["wait"], answer["starts_at"]) == (True, starts_at.isoformat())
    assert answer["best"]["use"] == pytest.approx(0.3, abs=0.01)
    assert answer["best"]["breach"] == pytest.approx(0.1)
    assert f"Wait until {starts_at:%H:%M} UTC (in" in answer["text"]
    assert "used for 20 min at 30 % of its usual" in answer["text"]
    assert answer["text"].endswith("Chance of a breach before it ends: 10 %.")


def test_now_is_good_when_waiting_gains_nothing(runner: Runner) -> None:
    answer, _ = asked(runner, {"server": "steady", "within": "2h"})
    assert (answer["wait"], answer["starts_at"]) == (False, NOW.isoformat())
    assert answer["text"].startswith("Now is as good as any time within 2 h: for the next 20 min")
    assert "The chance of a breach before it ends is not known." in answer["text"]


def test_a_quiet_time_beyond_the_limit_does_not_count(runner: Runner) -> None:
    assert asked(runner, {"server": "calm-later", "within": "1h"})[0]["wait"] is False


@pytest.mark.parametrize(
    ("server", "lasts", "later", "why"),
    [
        ("gone", "20m", timedelta(0), "gone has no forecast of the last hour"),
        ("calm-later", "20m", timedelta(hours=2), "has no forecast of the last hour"),
        ("blind", "20m", timedelta(0), "nothing is known ahead of its traffic, load and CPU"),
        ("calm-later", "8h", timedelta(minutes=10), "8 h from now is further than the forecast"),
    ],
)  # fmt: skip
def test_without_a_forecast_the_answer_is_not_known(
    runner: Runner, server: str, lasts: str, later: timedelta, why: str
) -> None:
    answer, _ = asked(runner, {"server": server, "lasts": lasts}, NOW + later)
    assert answer["wait"] is None
    assert answer["text"].startswith("Not known: ")
    assert why in answer["text"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("web-1", "'web-1' is not a request"),
        ({}, "server is missing"),
        ({"server": "steady", "lasts": "5 apples"}, "'5 apples' is not a valid period"),
        ({"server": "steady", "within": "9h"}, "within is '9h', expected 8h at most"),
    ],
)
def test_a_request_that_is_none_is_refused_in_words(runner: Runner, body: Any, named: str) -> None:
    answer, reasons = asked(runner, body)
    assert answer is None
    assert named in reasons[0]
