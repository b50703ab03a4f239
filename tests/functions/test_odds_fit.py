import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from functions.breach import breach
from functions.engine.window import Window
from functions.odds_fit import odds_fit
from functions.rules.odds.models import odds_models
from storage.config.folders import Folders
from storage.model.grid import HORIZON_STEPS, LEAD_MINUTES, QUANTILE_COLUMNS, STEP
from storage.model.schema import table
from storage.query.memory_lake import MemoryLake

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS, DAY = 5, 288
NOW = START + timedelta(days=DAYS)
SERVERS = [f"s{i}" for i in range(10)]
RNG = np.random.default_rng(7)


def memory() -> np.ndarray:
    """Memory that climbs to its level over an hour, about once a day."""
    values = 40 + RNG.normal(0, 0.5, DAYS * DAY)
    for day in range(DAYS):
        begin = day * DAY + int(RNG.integers(20, 230))
        values[begin : begin + 12] = np.linspace(45, 97, 12)
        values[begin + 12 : begin + 20] = 99.0
    return values


def steps() -> pa.Table:
    rows = [
        {"server": server, "ts": START + i * STEP, "mem_used_pct_mean": value}
        for server in SERVERS for i, value in enumerate(memory())
    ]  # fmt: skip
    return table("metrics_5m").rows(rows)


def issued() -> Iterator[dict[str, Any]]:
    """Odds that say the same all the time, every 15 minutes from the second day on."""
    said = {f"{kind}_{lead}m": 0.02 for kind in ("raw", "p") for lead in LEAD_MINUTES}
    for i in range(DAY, DAYS * DAY, 3):
        for server in SERVERS:
            yield {"server": server, "metric": "mem_used_pct", "issued_at": START + i * STEP,
                   "model": "abc", **said}  # fmt: skip


def forecasts() -> Iterator[dict[str, Any]]:
    for i in range(DAY, DAYS * DAY, 24):
        issued_at = START + i * STEP
        for server in SERVERS:
            curves = {name: [40.0 + k - 3] * HORIZON_STEPS
                      for k, name in enumerate(QUANTILE_COLUMNS)}  # fmt: skip
            yield {"server": server, "metric": "mem_used_pct", "issued_at": issued_at,
                   "made_at": issued_at, "state": "ok", **curves}  # fmt: skip


def fleet() -> Iterator[dict[str, Any]]:
    for i in range(DAY, DAYS * DAY, 3):
        yield {"issued_at": START + i * STEP, "servers": 10, "raw_expected_30m": 0.5,
               "raw_expected_480m": 8.0}  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryLake]:
    """A lake with five days of a fleet that breaches daily, and its odds and forecasts."""
    folder: Path = tmp_path_factory.mktemp("fit")
    lake = MemoryLake(Folders.at(folder))
    lake.at(NOW)
    facts = [{"server": s, "ts": START, "profile": "generic", "cores": 4} for s in SERVERS]
    lake.put("server_facts", table("server_facts").rows(facts))
    lake.put("metrics_5m", steps())
    lake.put("odds", table("odds").rows(issued()))
    lake.put("forecasts", table("forecasts").rows(forecasts()))
    lake.put("fleet_odds", table("fleet_odds").rows(fleet()))
    served = {"ts": START, "kind": "calibration", "metric_group": "all", "serves": True}
    lake.put("odds_models", table("odds_models").rows([served | {"lead_minutes": 480}]))
    cursor, more = None, True
    while more:
        made = breach.batch(breach.call(Window(lake.reader, NOW), cursor))
        lake.put("breaches", made.rows["breaches"])
        cursor, more = made.cursor, made.more
    yield lake
    lake.close()


@pytest.fixture(scope="module")
def fits(lake: MemoryLake) -> list[dict[str, Any]]:
    made = odds_fit.batch(odds_fit.call(Window(lake.reader, NOW)))
    rows: list[dict[str, Any]] = made.rows["odds_models"].to_pylist()
    return rows


def test_odds_are_fitted_on_the_breaches_that_came(fits: list[dict[str, Any]]) -> None:
    calibration = {r["lead_minutes"]: r for r in fits if r["kind"] == "calibration"}
    assert set(calibration) == set(LEAD_MINUTES)
    assert 30 <= calibration[480]["events"] <= 40  # one a day of each server
    assert calibration[480]["base_rate"] == pytest.approx(8 / 22, abs=0.1)
    assert calibration[480]["serves"]
    assert {r["model"] for r in fits} == {"abc"}
    assert {r["ts"] for r in fits} == {NOW}


def test_the_trend_head_serves_memory_that_climbs(fits: list[dict[str, Any]]) -> None:
    models = odds_models(fits, 30)
    assert ("memory and disk", 60) in models.trend_serves
    assert models.checked


def test_the_fleets_odds_are_scaled_to_its_breaches(fits: list[dict[str, Any]]) -> None:
    scale = {r["lead_minutes"]: json.loads(r["parameters"])["scale"]
             for r in fits if r["kind"] == "fleet"}  # fmt: skip
    assert scale[480] == pytest.approx(10 / 24, rel=0.3)  # 10 a day, of 24 that were expected
    assert scale[30] == 1  # its calibration serves from now on: the sums so far were others


def test_paths_are_made_of_recent_forecasts(fits: list[dict[str, Any]]) -> None:
    (paths,) = [r for r in fits if r["kind"] == "paths"]
    assert (paths["metric_group"], paths["cases"]) == ("mem_used_pct", 200)


def test_it_fits_once_a_day(lake: MemoryLake, fits: list[dict[str, Any]]) -> None:
    lake.put("odds_models", table("odds_models").rows(fits))
    again = odds_fit.batch(odds_fit.call(Window(lake.reader, NOW + timedelta(hours=23))))
    assert not again.rows
    next_day = odds_fit.batch(odds_fit.call(Window(lake.reader, NOW + timedelta(hours=24))))
    kinds = next_day.rows["odds_models"]["kind"].to_pylist()
    assert "calibration" in kinds
    assert "paths" not in kinds  # those are of the week


@pytest.mark.usefixtures("fits")
def test_odds_before_an_act_are_no_case(lake: MemoryLake) -> None:
    marks = [{"mark": "m", "ts": NOW, "kind": "remediation", "starts_at": START, "ends_at": NOW}]
    lake.put("marks", table("marks").rows(marks))
    acted = odds_fit.batch(odds_fit.call(Window(lake.reader, NOW + timedelta(days=2))))
    calibration = [r for r in acted.rows["odds_models"].to_pylist() if r["kind"] == "calibration"]
    assert [r["cases"] for r in calibration] == [0] * len(LEAD_MINUTES)
