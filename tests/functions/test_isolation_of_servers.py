"""One bad server never stops the others: it is left out, and its page says why."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from litestar.testing import TestClient

from functions.engine.forecaster import Forecaster
from functions.engine.runner import Runner
from functions.forecast import forecast, predict_each
from functions.risk import risk, risk_rows
from functions.rollup import rollup
from functions.rules.fleet_state import FleetState
from scripts.cli.doctor import findings
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.lake.transaction import WriteConnection
from storage.lake.writer import Writer
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, QUANTILE_COLUMNS, STEP, floor_step
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import STOCK, table
from storage.query.reader import Reader
from storage.query.windows import Contexts, forecasts
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at
from tests.functions.test_forecast import FLEET, ORIGIN, know, steps
from web.app import create_app

BAD = "a\0b"
MARK = np.float32(77.125)


class Fragile(Forecaster):
    """The shipped model, which breaks on readings of one value."""

    def _run(self, context: Any, clock: Any, places: Any, answer: Any) -> None:
        if (context[:, -1, 0] == MARK).any():
            raise FloatingPointError("the graph broke")
        super()._run(context, clock, places, answer)


def context_of(count: int, bad: int | None = None) -> Contexts:
    shape = (count, CONTEXT_STEPS, len(METRIC_NAMES))
    values = np.random.default_rng(1).uniform(20, 40, shape).astype(np.float32)
    if bad is not None:
        values[bad, -1, 0] = MARK
    names = tuple(f"s{i:02}" for i in range(count))
    return Contexts(
        names, ("generic",) * count, (4,) * count, ORIGIN - CONTEXT_STEPS * STEP, values
    )


@pytest.mark.parametrize("bad", [0, 7, 20])
def test_a_server_on_which_the_model_fails_is_abstained_from_and_twenty_are_forecast(
    bad: int,
) -> None:
    model = Fragile.open()
    made, whys = predict_each(model, context_of(21, bad))
    assert (made.state[bad] == "abstained").all()
    assert np.isnan(made.quantiles[bad]).all()
    others = [i for i in range(21) if i != bad]
    assert (made.state[others] == "ok").all()
    assert np.isfinite(made.quantiles[others]).all()
    text = "the model failed on its readings: FloatingPointError: the graph broke"
    assert whys == {(bad, j): text for j in range(len(METRIC_NAMES))}
    whole, none = predict_each(model, context_of(21))
    np.testing.assert_allclose(made.quantiles[others], whole.quantiles[others], rtol=1e-4)
    assert none == {}


def test_a_model_that_fails_on_every_server_is_a_failure_of_the_function() -> None:
    broken = context_of(3)
    broken.values[:, -1, 0] = MARK
    with pytest.raises(FloatingPointError, match="the graph broke"):
        predict_each(Fragile.open(), broken)


def fleet(count: int) -> FleetState:
    return FleetState(
        profiles=("generic",) * count, cores=(4,) * count,
        recent=np.full((count, 12, len(METRIC_NAMES)), 30, np.float32),
        latest=np.full((count, len(METRIC_NAMES)), 30, np.float32), age_s=np.zeros(count),
        quantiles=np.full((count, HORIZON_STEPS, len(METRIC_NAMES), 7), 30, np.float32),
        issued_at=[ORIGIN] * count,
    )  # fmt: skip


def test_a_server_that_cannot_be_scored_says_why_and_twenty_are_scored() -> None:
    names = [f"s{i:02}" for i in range(21)]
    sound = fleet(21)
    odd = replace(
        sound, issued_at=[*sound.issued_at[:7], ORIGIN.replace(tzinfo=None), *sound.issued_at[8:]]
    )
    rows = {row["server"]: row for row in risk_rows(names, odd, NOW)}
    assert "score" not in rows["s07"]
    assert rows["s07"]["reasons"][0]["text"].startswith("not scored: TypeError: can't subtract")
    whole = {row["server"]: row for row in risk_rows(names, sound, NOW)}
    assert {n: r for n, r in rows.items() if n != "s07"} == {
        n: r for n, r in whole.items() if n != "s07"
    }
    assert pa.Table.from_pylist(list(rows.values()), table("risks").arrow).num_rows == 21


def test_forecasts_of_another_shape_stop_nobody_s_risk(house: LakeFixture) -> None:
    know(house, *FLEET[:3])
    one, two, three = sorted(server.name for server in FLEET[:3])
    reported = {"issued_at": ORIGIN, "made_at": NOW, "state": "ok"}
    lists = dict.fromkeys(QUANTILE_COLUMNS, [50.0] * HORIZON_STEPS)
    house.put("forecasts", [
        reported | lists | {"server": one, "metric": "mem_used_pct"},
        reported | {"server": two, "metric": "mem_used_pct", "p50": [1.0, 2.0]},
        reported | lists | {"server": three, "metric": "sold_tickets"},
    ])  # fmt: skip
    house.commit()
    issued = forecasts(house.reader, NOW)
    memory = METRIC_NAMES.index("mem_used_pct")
    assert issued.servers == (one, two)
    assert (issued.quantiles[0, :, memory] == 50).all()
    assert np.isnan(issued.quantiles[1]).all()
    made = Runner(house.folders, Settings()).run(risk, "test", NOW)
    assert (made.error, made.batch.row_count) == (None, 3)


def test_a_server_with_more_samples_than_a_count_holds_stops_nobody_s_roll_up(
    house: LakeFixture,
) -> None:
    start = ORIGIN - STEP
    many = [start + timedelta(milliseconds=8 * i) for i in range(33_000)]
    rows = pa.table({
        "server": ["flood"] * len(many), "ts": pa.array(many, pa.timestamp("us", "UTC")),
        "mem_used_pct": pa.array([40.0] * len(many), pa.float32()),
    })  # fmt: skip
    house.put("metrics", rows)
    house.put("metrics", [{"server": "calm", "ts": start, "mem_used_pct": 30.0}])
    house.commit()
    runner = Runner(house.folders, Settings())
    assert runner.run(rollup, "test", NOW).error is None
    house.commit()
    result = house.reader.query("SELECT * FROM metrics_5m ORDER BY server").to_pylist()
    reported = [(r["server"], r["mem_used_pct_mean"], r["mem_used_pct_count"]) for r in result]
    assert reported == [("calm", 30, 1), ("flood", 40, 32_767)]
    assert runner.run(rollup, "test", NOW + STEP).batch.row_count == 0
    house.writer.run_maintenance(NOW + timedelta(days=9))
    assert house.one("SELECT count(*) FROM metrics") == 0


def poison(data: Path) -> None:
    """What an earlier release let into the lake: a server with a NUL in its name, and a fleet."""
    Writer.open(data).close()
    writer, began = WriteConnection(Folders.at(data), STOCK), datetime.now(UTC)
    facts = [
        {"server": s, "ts": NOW, "profile": "generic"} for s in (*(s.name for s in FLEET), BAD)
    ]
    fifth = ORIGIN - STEP
    rows: dict[str, list[dict[str, Any]]] = {
        "server_facts": facts,
        "metrics": [{"server": BAD, "ts": NOW, "mem_used_pct": 5.0}],
        "metrics_5m": [
            {"server": BAD, "ts": fifth, "mem_used_pct_mean": 5.0, "mem_used_pct_count": 60}
        ],
        "risks": [{"server": BAD, "issued_at": NOW, "score": 1.0}],
    }

    def work() -> None:
        for name, each in rows.items():
            writer.append(table(name), pa.Table.from_pylist(each, table(name).arrow), began)
        writer.append(table("metrics_5m"), steps(*FLEET), began)

    writer.transaction(work)
    writer.close()


@pytest.fixture
def poisoned(tmp_path: Path) -> Path:
    poison(tmp_path)
    return tmp_path


def forecast_servers(data: Path) -> set[str]:
    made = Runner(Folders.at(data), Settings()).run(forecast, "test", NOW)
    assert made.error is None
    return set(made.batch.rows["forecasts"]["server"].to_pylist())


def test_until_the_writer_has_renamed_a_poisoned_name_the_others_are_forecast(
    poisoned: Path,
) -> None:
    assert forecast_servers(poisoned) == {server.name for server in FLEET}
    bad = [each for each in findings(poisoned, NOW) if each.about == "names"]
    assert [each.text for each in bad] == [r"'a\x00b': not valid (1 in all)"]
    runner = Runner(Folders.at(poisoned), Settings())
    for function in (risk, rollup):
        assert runner.run(function, "test", NOW).error is None


def test_the_writer_renames_a_poisoned_name_in_every_table_and_says_so(
    poisoned: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Writer.open(poisoned).close()
    assert r"server 'a\x00b' renamed to 'a\\x00b'" in caplog.text
    new = "a\\x00b"
    assert forecast_servers(poisoned) == {*(server.name for server in FLEET), new}
    with closing(Reader.open(poisoned)) as reader:
        for name in ("server_facts", "metrics", "metrics_5m", "risks"):
            rows = reader.query(f"SELECT count(*) AS n FROM {name} WHERE server = $new", new=new)
            assert rows["n"].to_pylist() == [1]
    assert not any(each.about == "names" for each in findings(poisoned, NOW))
    caplog.clear()
    Writer.open(poisoned).close()
    assert "renamed to" not in caplog.text


@pytest.mark.timeout(120)
def test_the_pages_of_a_poisoned_lake_answer_before_the_writer_has_renamed_it(
    poisoned: Path,
) -> None:
    with TestClient(create_app(poisoned), "http://127.0.0.1") as client:
        assert client.get("/").status_code == 200
        assert client.get(f"/servers/{FLEET[0].name}").status_code == 200
        assert client.get("/fleet.json").status_code == 200
        for path in ("/servers/a%00b", "/servers/a%00b.json", "/charts/a%00b"):
            assert client.get(path).status_code == 400
        assert client.get("/?q=a%00b").status_code == 200


def test_a_server_that_cannot_be_scored_or_forecast_says_so_on_both_pages(tmp_path: Path) -> None:
    Writer.open(tmp_path).close()
    now = datetime.now(UTC)
    why = "the model failed on its readings: FloatingPointError: the graph broke"
    reason = {"metric": None, "points": 0.0, "text": "not scored: TypeError: no zone"}
    with house_at(tmp_path) as house:
        house.put("metrics", [{"server": "odd", "ts": now, "mem_used_pct": 1.0}], created_at=now)
        house.put("metrics_5m", [
            {"server": "odd", "ts": floor_step(now) - i * STEP, "mem_used_pct_mean": 1.0}
            for i in range(20)
        ])  # fmt: skip
        house.put("risks", [{"server": "odd", "issued_at": now, "reasons": [reason]}])
        house.put("forecasts", [
            {"server": "odd", "metric": name, "issued_at": floor_step(now), "made_at": now,
             "state": "abstained", "why": why} for name in METRIC_NAMES
        ])  # fmt: skip
        house.commit(now)
    with TestClient(create_app(tmp_path), "http://127.0.0.1") as client:
        for path in ("/", "/servers/odd"):
            page = client.get(path).text
            assert f"No forecast: {why}" in page
            assert "not scored: TypeError: no zone" in page
