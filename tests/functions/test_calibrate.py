"""Calibration closes the loop: scores change what the next forecast serves."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from functions.calibrate import LONGEST_WAIT, calibrate
from functions.engine.forecaster import SHIPPED, Forecaster
from functions.engine.runner import Run, Runner
from functions.forecast import forecast
from functions.rules.serving.calibration import SHAPE
from functions.rules.serving.state_rows import NamedCalibration, calibration_rows
from storage.config.settings import Settings
from storage.model.grid import BUCKET_MINUTES, CONTEXT_STEPS, QUANTILE_COLUMNS, STEP, floor_step
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at

HOUR = timedelta(hours=1)
ORIGIN = floor_step(NOW).replace(minute=0)
HOURS = 26  # of scores before the origin
MODEL = Forecaster.open(SHIPPED).hash
SERVERS = ("narrow", "useless", "well")
METRICS = ("load_average", "mem_used_pct")


def score(server: str, hour: int, metric: str, bucket: int, model: str = MODEL) -> dict[str, Any]:
    """The scores of one hour: too narrow bands, or a model that errs more than naive forecasts."""
    worse = 3.0 if (server, metric) == ("useless", "mem_used_pct") else 1.0
    losses = {f"loss{kind}": 100.0 * worse for kind in ("", "_model", "_calibrated")}
    losses |= {"loss_context": 150.0, "loss_last_band": 160.0}
    inside = (0.3, 0.6, 0.8) if server == "narrow" else (0.5, 0.8, 0.96)
    return {
        "server": server, "metric": metric, "bucket": bucket, "model": model,
        "ts": ORIGIN - (HOURS - hour) * HOUR, "targets": 100, "moving": 100, "scale": 100.0,
        "error_naive": 200.0, "error_seasonal": 220.0,
        "inside_50": int(100 * inside[0]), "inside_80": int(100 * inside[1]),
        "inside_96": int(100 * inside[2]),
    } | losses  # fmt: skip


def scores(hours: range, model: str = MODEL) -> list[dict[str, Any]]:
    return [
        score(server, hour, metric, bucket, model)
        for hour in hours for server in SERVERS for metric in METRICS for bucket in BUCKET_MINUTES
    ]  # fmt: skip


def history(steps: int = CONTEXT_STEPS * 2) -> list[dict[str, Any]]:
    rng = np.random.default_rng(4)
    return [
        {"server": server, "ts": ORIGIN - back * STEP, "load_average_mean": 2 + 0.2 * noise,
         "load_average_count": 60, "mem_used_pct_mean": 50 + 2 * noise, "mem_used_pct_count": 60}
        for server in SERVERS for back, noise in enumerate(rng.normal(size=steps), start=1)
    ]  # fmt: skip


def run(house: LakeFixture, function: Any = calibrate, now: datetime = ORIGIN) -> Run:
    made = Runner(house.folders, Settings()).run_whole(function, "test", now)
    assert made.error is None
    house.commit(now)
    return made


def state(hour: int, model: str = MODEL, updates: int = 0) -> pa.Table:
    """The state of the calibration after the hours before `hour`."""
    named = NamedCalibration.new()
    evidence = np.full(SHAPE[:2], updates)
    rows = replace(named, state=replace(named.state, updates=evidence))
    return calibration_rows(rows, model, ORIGIN - (HOURS - hour) * HOUR)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    """A lake with 26 hours of scores, what the last of them taught, and the next forecast."""
    with house_at(tmp_path_factory.mktemp("learned")) as house:
        house.put("server_facts", [{"server": s, "ts": NOW, "profile": "web"} for s in SERVERS])
        house.put("metrics_5m", history())
        house.put("scores", scores(range(HOURS)))
        house.put("scores", [score("well", HOURS - 1, "queue_length", 60)])  # of a user
        house.put("forecasts", past_forecasts())
        house.put("calibration", state(HOURS - 1, updates=4 * (HOURS - 1)))
        house.commit()
        run(house)
        run(house, forecast, ORIGIN + timedelta(seconds=20))
        yield house


def of(house: LakeFixture, table_name: str, server: str, metric: str) -> dict[str, Any]:
    name = "name" if table_name == "calibration" else "server"
    time = "issued_at" if table_name == "forecasts" else "ts"
    rows: list[dict[str, Any]] = house.reader.query(
        f"FROM {table_name} WHERE {name} = $server AND metric = $metric ORDER BY {time} DESC",
        server=server, metric=metric,
    ).to_pylist()  # fmt: skip
    return rows[0]


def past_forecasts() -> list[dict[str, Any]]:
    """Forecasts of the load whose 80 % band is .26 to each side of the true centre."""
    edges = 2 + 0.2 * np.array([-2.05, -1.3, -0.67, 0, 0.67, 1.3, 2.05])
    curves = {name: [edge] * 96 for name, edge in zip(QUANTILE_COLUMNS, edges, strict=True)}
    return [
        {"server": server, "metric": "load_average", "issued_at": ORIGIN - hours * HOUR,
         "made_at": NOW, "model": MODEL, "state": "ok"} | curves
        for server in SERVERS for hours in range(2, 32, 2)
    ]  # fmt: skip


def test_the_fleets_factors_are_set_once_to_what_would_have_fitted(learned: LakeFixture) -> None:
    fleet = of(learned, "calibration", "fleet", "load_average")
    assert (fleet["scope"], fleet["model"], fleet["ts"]) == ("fleet", MODEL, ORIGIN)
    assert (fleet["hours_since_preset"], fleet["updates"]) == (0, 4 * HOURS)
    assert fleet["log_factor_80"] == pytest.approx(0, abs=0.1)
    memory = of(learned, "calibration", "fleet", "mem_used_pct")  # has no forecasts to look at
    assert memory["log_factor_80"] > 0


def test_a_server_whose_bands_were_too_narrow_is_served_wider_ones(learned: LakeFixture) -> None:
    narrow, well = (of(learned, "forecasts", s, "load_average") for s in ("narrow", "well"))
    assert narrow["widths"][1] > well["widths"][1]
    served = learned.reader.query(
        "SELECT server, avg(p90 - p10) AS width FROM forecast_points "
        "WHERE metric = 'load_average' AND issued_at = $issued GROUP BY server ORDER BY server",
        issued=ORIGIN,
    )["width"].to_pylist()
    own = [np.mean(np.array(row["p90"]) - np.array(row["p10"])) for row in (narrow, well)]
    assert served[0] / own[0] > served[2] / own[1]


def test_the_weights_and_the_leading_forecast_are_columns(learned: LakeFixture) -> None:
    row = of(learned, "forecasts", "well", "mem_used_pct")
    assert row["leading"] == "model"
    assert row["weights"] == [1, 0, 0, 0] * 3
    assert len(row["context"]) == 7
    assert len(row["last_band"]) == len(row["seasonal_band"]) == 21
    assert learned.one("SELECT count(DISTINCT metric) FROM race") == len(METRICS)
    raced = of(learned, "race", "well", "mem_used_pct")
    assert raced["recent_loss"] == [1, 1.5, 0, pytest.approx(1.6)]
    assert raced["evidence_hours"][2] == 0  # no seasonal forecast has a score


def test_without_skill_it_abstains_and_keeps_the_models_own_quantiles(
    learned: LakeFixture,
) -> None:
    row = of(learned, "forecasts", "useless", "mem_used_pct")
    assert row["state"] == "abstained"
    assert row["why"] == "no skill: its losses of 7 days are 1.50 times those of a naive forecast"
    assert len(row["p50"]) == 96
    assert of(learned, "forecasts", "useless", "load_average")["state"] == "ok"
    blind = learned.reader.query("SELECT server, metric, reason FROM blind_time").to_pylist()
    assert {"server": "useless", "metric": "mem_used_pct", "reason": "no skill"} in blind


def test_an_hour_is_waited_for_and_gives_the_same_rows_each_time(house: LakeFixture) -> None:
    house.put("metrics_5m", history(12))
    house.put("scores", [r for r in scores(range(HOURS - 1, HOURS)) if r["server"] == "well"])
    house.commit()
    assert run(house).batch.row_count == 0
    runner = Runner(house.folders, Settings())
    first, second = (
        runner.run_whole(calibrate, "test", ORIGIN + LONGEST_WAIT).batch.rows for _ in range(2)
    )
    assert first["race"].num_rows > 0
    assert all(first[name].equals(second[name]) for name in ("calibration", "race"))


def test_a_model_starts_anew_and_finds_its_state_when_it_serves_again(house: LakeFixture) -> None:
    house.put(
        "scores", [*scores(range(HOURS - 1, HOURS)), *scores(range(HOURS - 2, HOURS - 1), "new")]
    )
    house.put("calibration", state(HOURS - 1, updates=40))
    house.commit()
    assert run(house).batch.model == "new"
    assert run(house).batch.model == MODEL
    assert run(house).batch.row_count == 0
    updates = house.reader.query(
        "SELECT model, max(updates) AS updates FROM calibration GROUP BY model"
    ).to_pylist()
    assert {row["model"]: row["updates"] for row in updates} == {"new": 4, MODEL: 44}


def test_turned_off_the_model_is_served_as_it_is(house: LakeFixture) -> None:
    house.folders.settings.write_text("[loop]\ncorrect = false\n")
    house.put("server_facts", [{"server": "well", "ts": NOW, "profile": "web"}])
    house.put("metrics_5m", [row for row in history(24) if row["server"] == "well"])
    house.put("calibration", state(HOURS))
    house.commit()
    run(house, forecast, ORIGIN + timedelta(seconds=20))
    row = of(house, "forecasts", "well", "load_average")
    assert (row["widths"], row["weights"], row["leading"]) == (None, None, None)
    assert len(row["context"]) == 7  # so that its scores can go on
