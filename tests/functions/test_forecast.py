from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from functions import forecast as forecasting
from functions.engine.forecaster import SHIPPED
from functions.engine.runner import Run, Runner
from functions.engine.window import Window
from functions.forecast import forecast
from functions.rollup import SETTLE
from functions.simulator.simulated_fleet import SimulatedServer, make_fleet
from functions.simulator.simulated_series import simulate
from storage.config.settings import Settings
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, QUANTILE_COLUMNS, STEP, floor_step
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at

ORIGIN = floor_step(NOW)
FLEET = make_fleet(20, seed=7)

# Beside the fleet, servers of which less is known.
NEW, YOUNG, SILENT, DISKLESS = (
    SimulatedServer(name, "generic", 4, "paris") for name in ("new", "young", "silent", "diskless")
)


def steps(
    *servers: SimulatedServer, count: int = CONTEXT_STEPS, until: datetime = ORIGIN
) -> pa.Table:
    """The `count` 5-minute steps that end at `until`, as the roll-up would have made them."""
    stop = int(until.timestamp())
    moments = np.arange(stop - count * 300, stop, 300, dtype=np.int64)
    values = simulate(servers, moments, [], seed=7).reshape(-1, len(METRIC_NAMES))
    columns: dict[str, Any] = {
        "server": np.repeat(np.array([s.name for s in servers], dtype=object), count),
        "ts": pa.array(np.tile(moments, len(servers)) * 1_000_000, pa.timestamp("us", "UTC")),
    }
    for name, of_metric in zip(METRIC_NAMES, values.T, strict=True):
        columns |= {f"{name}_mean": of_metric, f"{name}_max": of_metric}
        columns[f"{name}_count"] = np.full(len(of_metric), 60, np.int16)
    return pa.table(columns, schema=table("metrics_5m").arrow)


def without_disk(rows: pa.Table) -> pa.Table:
    place = rows.column_names.index("disk_usage_pct_mean")
    return rows.set_column(place, "disk_usage_pct_mean", pa.nulls(len(rows), pa.float32()))


def know(house: LakeFixture, *servers: SimulatedServer) -> None:
    facts = [{"server": s.name, "ts": NOW, "profile": s.profile, "cores": 4} for s in servers]
    house.put("server_facts", facts)


def run(house: LakeFixture, now: datetime = NOW) -> Run:
    """One run of a process that has just started, and the writer's commit of it."""
    made = Runner(house.folders, Settings()).run(forecast, "test", now)
    assert made.error is None
    house.commit(now)
    return made


@pytest.fixture(scope="module")
def forecasted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    """A lake in which the fleet and the odd servers were forecast once; it is only read."""
    with house_at(tmp_path_factory.mktemp("forecasted")) as house:
        know(house, *FLEET, NEW, YOUNG, SILENT, DISKLESS)
        house.put("metrics_5m", steps(*FLEET))
        house.put("metrics_5m", steps(NEW, count=5))
        house.put("metrics_5m", steps(YOUNG, count=13))
        house.put("metrics_5m", steps(SILENT, until=ORIGIN - timedelta(minutes=35)))
        house.put("metrics_5m", without_disk(steps(DISKLESS)))
        house.commit()
        run(house)
        yield house


def rows_of(house: LakeFixture, server: SimulatedServer) -> list[dict[str, Any]]:
    rows = house.reader.query("SELECT * FROM forecasts WHERE server = $server", server=server.name)
    result: list[dict[str, Any]] = rows.to_pylist()
    return result


def states_of(house: LakeFixture, server: SimulatedServer) -> dict[tuple[str, str | None], int]:
    """How often each state and its reason come among the server's 14 rows."""
    return Counter((row["state"], row["why"]) for row in rows_of(house, server))


def test_each_server_of_the_fleet_has_a_row_a_metric(forecasted: LakeFixture) -> None:
    for server in FLEET:
        rows = rows_of(forecasted, server)
        assert sorted(row["metric"] for row in rows) == sorted(METRIC_NAMES)
        assert {row["context_steps"] for row in rows} == {CONTEXT_STEPS}


def test_a_server_with_a_whole_day_is_forecast_without_reserve(forecasted: LakeFixture) -> None:
    for server in FLEET:
        assert states_of(forecasted, server) == {("ok", None): 14}


def test_quantiles_are_in_order_over_the_whole_horizon(forecasted: LakeFixture) -> None:
    for row in rows_of(forecasted, FLEET[0]):
        quantiles = np.array([row[name] for name in QUANTILE_COLUMNS])
        assert quantiles.shape == (7, HORIZON_STEPS)
        assert (np.diff(quantiles, axis=0) >= 0).all()


def test_the_first_step_starts_where_the_context_ends(forecasted: LakeFixture) -> None:
    rows = forecasted.reader.query(
        "SELECT min(ts) AS first, max(ts) AS last, min(issued_at) AS issued FROM forecast_points"
    ).to_pylist()[0]
    assert rows["first"] == rows["issued"] == ORIGIN
    assert rows["last"] == ORIGIN + timedelta(hours=8) - STEP


def test_a_forecast_names_its_model_and_when_it_was_made(forecasted: LakeFixture) -> None:
    model = forecasted.one("SELECT model FROM models WHERE event = 'serving'")
    for row in rows_of(forecasted, FLEET[0]):
        assert (row["model"], row["made_at"]) == (model, NOW)


def test_a_server_with_five_steps_is_still_collecting(forecasted: LakeFixture) -> None:
    why = "collecting, 5 of 288: the first forecast needs 12"
    assert states_of(forecasted, NEW) == {("abstained", why): 14}
    assert {row["p50"] for row in rows_of(forecasted, NEW)} == {None}


def test_a_server_with_an_hour_has_an_early_forecast_that_says_so(forecasted: LakeFixture) -> None:
    why = "from 1 h 5 min of data (13 of 288 steps)"
    assert states_of(forecasted, YOUNG) == {("early", why): 14}
    assert all(len(row["p50"]) == HORIZON_STEPS for row in rows_of(forecasted, YOUNG))


def test_a_silent_server_is_not_forecast_and_that_is_said(forecasted: LakeFixture) -> None:
    assert states_of(forecasted, SILENT) == {("abstained", "no data for more than 30 min"): 14}
    assert {row["p50"] for row in rows_of(forecasted, SILENT)} == {None}


def test_a_metric_never_measured_is_abstained_from_alone(forecasted: LakeFixture) -> None:
    why = "only 0 readings in the last 24 h: a forecast needs 12"
    assert states_of(forecasted, DISKLESS) == {("ok", None): 13, ("abstained", why): 1}
    absent = [row["metric"] for row in rows_of(forecasted, DISKLESS) if row["p50"] is None]
    assert absent == ["disk_usage_pct"]


def test_the_same_origin_is_not_forecast_twice(house: LakeFixture) -> None:
    know(house, YOUNG, NEW)
    house.put("metrics_5m", steps(YOUNG, count=13))
    house.commit()
    assert run(house).batch.row_count == 2 * 14 + 1
    assert run(house, NOW + timedelta(minutes=1)).outcome == "nothing"


def test_a_server_that_came_late_is_forecast_from_the_same_origin(house: LakeFixture) -> None:
    for server in (YOUNG, NEW):
        know(house, server)
        house.put("metrics_5m", steps(server, count=13))
        house.commit()
        rows = run(house).batch.rows["forecasts"]
        assert set(rows["server"].to_pylist()) == {server.name}


def in_portions(*servers: SimulatedServer, portions: int) -> Iterator[pa.Table]:
    """Eight days of the servers, oldest first, as a source that loads its history brings them."""
    steps_each = 8 * 288 // portions
    for left in reversed(range(portions)):
        yield steps(*servers, count=steps_each, until=ORIGIN - left * steps_each * STEP)


def test_a_fleet_that_loads_its_history_is_forecast_from_the_same_origin_when_it_is_there(
    house: LakeFixture,
) -> None:
    loading = FLEET[:3]
    know(house, YOUNG, *loading)
    house.put("metrics_5m", steps(YOUNG, count=13))
    for portion in in_portions(*loading, portions=4):
        house.put("metrics_5m", portion)
        house.commit()
        assert {state for server in loading for state, _ in states_of(house, server)} <= {
            "abstained"
        }
        made = run(house)
    assert set(made.batch.rows["forecasts"]["server"].to_pylist()) == {s.name for s in loading}
    for server in loading:
        assert states_of(house, server) == {("ok", None): 14}
        assert {row["issued_at"] for row in rows_of(house, server)} == {ORIGIN}
    assert run(house).outcome == "nothing"


def test_an_abstention_is_not_made_again_before_the_context_allows_a_forecast(
    house: LakeFixture,
) -> None:
    know(house, YOUNG, NEW, SILENT)
    house.put("metrics_5m", steps(YOUNG, count=13))
    house.commit()
    run(house)
    house.put("metrics_5m", steps(NEW, count=11))
    house.put("metrics_5m", steps(SILENT, until=ORIGIN - timedelta(minutes=35)))
    house.commit()
    assert run(house).outcome == "nothing"


def test_in_every_view_the_forecast_stands_in_place_of_the_abstention(house: LakeFixture) -> None:
    now = datetime.now(UTC)  # the views look back from the present
    origin = floor_step(now - SETTLE)
    know(house, YOUNG, DISKLESS)
    house.put("metrics_5m", steps(YOUNG, count=13, until=origin))
    house.commit(now)
    run(house, now)
    before = house.one("SELECT forecast_state FROM fleet_now WHERE server = 'diskless'")
    house.put("metrics_5m", without_disk(steps(DISKLESS, until=origin)))
    house.commit(now)
    run(house, now)
    after = house.one("SELECT forecast_state FROM fleet_now WHERE server = 'diskless'")
    assert (before, after) == ("abstained", "ok")
    for view in ("forecast_points", "forecast_latest"):
        metrics = f"SELECT count(DISTINCT metric) FROM {view} WHERE server = 'diskless'"
        assert house.one(metrics) == 13


def test_the_next_step_brings_the_next_forecast(house: LakeFixture) -> None:
    know(house, YOUNG)
    for later in (timedelta(0), STEP):
        house.put("metrics_5m", steps(YOUNG, count=13, until=ORIGIN + later))
        house.commit(NOW + later)
        made = run(house, NOW + later)
        assert made.batch.window_key == (ORIGIN + later).isoformat()
    assert house.one("SELECT count(*) FROM models") == 1


def test_a_great_fleet_is_forecast_in_portions_and_a_late_server_after_them(
    house: LakeFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecasting, "MAX_SERVERS", 2)
    know(house, *FLEET[:5])
    house.put("metrics_5m", steps(*FLEET[1:5], count=13))
    house.commit()
    runner = Runner(house.folders, Settings())
    portions = [runner.run(forecast, "test", NOW).batch for _ in range(3)]  # none committed yet
    names = sorted(s.name for s in FLEET[:5])
    servers = [sorted(set(p.rows["forecasts"]["server"].to_pylist())) for p in portions]
    assert servers == [names[:2], names[2:4], names[4:]]
    assert [p.more for p in portions] == [True, True, False]
    house.commit()
    know(house, YOUNG, SILENT)
    house.commit()
    late = runner.run(forecast, "test", NOW).batch
    assert set(late.rows["forecasts"]["server"].to_pylist()) == {"young", "silent"}


def test_when_nothing_is_recent_nothing_is_forecast(house: LakeFixture) -> None:
    assert run(house).outcome == "nothing"
    know(house, YOUNG)
    house.put("metrics_5m", steps(YOUNG, until=ORIGIN - timedelta(minutes=35)))
    house.commit()
    assert run(house).outcome == "nothing"


@pytest.fixture
def broken(house: LakeFixture) -> LakeFixture:
    """A lake that is ready to be forecast, with a model that broke off on its way."""
    know(house, YOUNG)
    house.put("metrics_5m", steps(YOUNG, count=13))
    house.commit()
    (house.folders.models / "serving.onnx").write_bytes(SHIPPED.read_bytes()[:1000])
    return house


def test_with_an_unusable_model_all_abstain_with_the_reason(broken: LakeFixture) -> None:
    run(broken)
    rows = rows_of(broken, YOUNG)
    assert len(rows) == 14
    assert {row["state"] for row in rows} == {"abstained"}
    assert all("serving.onnx: truncated" in row["why"] for row in rows)
    assert {row[name] for row in rows for name in ("model", *QUANTILE_COLUMNS)} == {None}


def test_a_refused_model_is_told_once_and_again_when_it_is_mended(broken: LakeFixture) -> None:
    run(broken)
    broken.put("metrics_5m", steps(YOUNG, count=14, until=ORIGIN + STEP))
    broken.commit(NOW + STEP)
    assert run(broken, NOW + STEP).batch.row_count == 14
    (broken.folders.models / "serving.onnx").unlink()
    broken.put("metrics_5m", steps(YOUNG, count=15, until=ORIGIN + 2 * STEP))
    broken.commit(NOW + 2 * STEP)
    run(broken, NOW + 2 * STEP)
    events = broken.reader.query("SELECT event FROM models ORDER BY ts")["event"].to_pylist()
    assert events == ["refused", "serving"]


def test_an_event_of_a_clock_that_was_ahead_is_not_the_last_one(house: LakeFixture) -> None:
    events = (("refused", 0), ("serving", 2))
    house.put("models", [
        {"ts": NOW + timedelta(hours=h), "model": "m", "event": event} for event, h in events
    ])  # fmt: skip
    house.commit(NOW)
    assert forecasting._last_event(Window(house.reader, NOW))["event"] == "refused"
