"""The main job, from a segment in the inbox to a number on a page, with no clock and no sleep."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from litestar.testing import TestClient

from functions.engine.runner import Runner
from functions.forecast import forecast
from functions.risk import risk
from functions.rollup import rollup
from functions.simulator.simulated_fleet import make_fleet
from functions.simulator.simulated_series import simulate
from storage.config.settings import Settings
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table
from tests.conftest import LakeFixture
from web.app import create_app

SEED = 7


def simulated_samples(until: datetime, hours: int) -> pa.Table:
    """One sample a minute of two servers."""
    fleet = make_fleet(2, SEED)
    stop = int(until.timestamp())
    moments = np.arange(stop - hours * 3600, stop, 60, dtype=np.int64)
    values = simulate(fleet, moments, [], SEED).reshape(-1, len(METRIC_NAMES))
    columns = {
        "server": np.repeat(np.array([s.name for s in fleet], dtype=object), len(moments)),
        "ts": pa.array(np.tile(moments, 2) * 1_000_000, pa.timestamp("us", "UTC")),
        **dict(zip(METRIC_NAMES, values.T, strict=True)),
        "source": ["test"] * len(values),
    }
    return pa.table(columns, schema=table("metrics").arrow)


def test_a_sample_in_the_inbox_becomes_a_forecast_on_a_page(house: LakeFixture) -> None:
    # The views compare with the engine's clock, so this one test lives in the present.
    now = datetime.now(UTC)
    house.put("metrics", simulated_samples(now, hours=25))
    house.commit(now)
    runner = Runner(house.folders, Settings())
    for function in (rollup, forecast, risk):
        run = runner.run(function, "test", now)
        assert run.error is None
        house.commit(now)
    assert_forecast_lies_ahead(house, now)
    with TestClient(create_app(house.folders.data), "http://127.0.0.1") as site:
        for server in make_fleet(2, SEED):
            assert server.name in site.get("/").text
            page = site.get(f"/servers/{server.name}")
            assert page.status_code == 200
            assert "forecast" in page.text


def assert_forecast_lies_ahead(house: LakeFixture, now: datetime) -> None:
    points = house.reader.query("SELECT * FROM forecast_latest ORDER BY server, metric, ts")
    assert len(set(points["metric"].to_pylist())) == 14
    assert min(points["ts"].to_pylist()) > now
    assert max(points["ts"].to_pylist()) > now + timedelta(hours=7)
    low, mid, high = (np.asarray(points[name]) for name in ("p10", "p50", "p90"))
    assert (low <= mid).all()
    assert (mid <= high).all()
