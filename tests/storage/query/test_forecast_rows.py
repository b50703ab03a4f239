"""Rows of forecasts as arrays, and the view of what was served."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from storage.model.grid import HORIZON_STEPS, QUANTILE_COLUMNS, floor_step
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table
from storage.query.forecast_rows import forecast_rows
from storage.query.windows import forecasts
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at

STOP = floor_step(NOW)
SERVERS = ("calibrated", "blended", "plain", "shadow", "user")


def row(rng: np.random.Generator, server: str, metric: str) -> dict[str, Any]:
    """A forecast that partly leaves the range of 0 to 100."""
    curves = np.sort(rng.normal(50, 40, (HORIZON_STEPS, 7)), axis=1).T
    shares = rng.dirichlet(np.ones(4), 3)
    shares[0] = [1, 0, 0, 0]
    recipe: dict[str, Any] = {"widths": rng.uniform(0.3, 3, 9), "weights": shares.ravel()}
    recipe |= {"context": np.sort(rng.normal(50, 40, 7)), "seasonal": rng.normal(50, 40, 96)}
    recipe |= {"seasonal_band": np.sort(rng.normal(0, 9, (3, 7))).ravel(),
               "last_band": np.sort(rng.normal(50, 40, (3, 7))).ravel()}  # fmt: skip
    if server == "calibrated":
        recipe = {"widths": recipe["widths"]}
    state = "abstained" if server == "shadow" else "ok"
    facts = {"server": server, "metric": metric, "issued_at": STOP, "made_at": NOW, "state": state}
    lists = dict(zip(QUANTILE_COLUMNS, curves, strict=True))
    return facts | lists | ({} if server in ("plain", "user") else recipe)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    rng = np.random.default_rng(7)
    with house_at(tmp_path_factory.mktemp("served")) as house:
        rows = [row(rng, server, metric) for server in SERVERS[:4] for metric in METRIC_NAMES]
        rows.append(row(rng, "user", "queue_length"))
        house.put("forecasts", rows)
        house.commit()
        yield house


def stored(lake: LakeFixture) -> pa.Table:
    return lake.reader.query("SELECT * FROM forecasts ORDER BY server, metric")


def test_the_view_serves_what_the_arrays_do(lake: LakeFixture) -> None:
    rows = stored(lake).filter(pa.compute.not_equal(stored(lake)["state"], "abstained"))
    names = ", ".join(QUANTILE_COLUMNS)
    points = lake.reader.query(f"SELECT {names} FROM forecast_points ORDER BY server, metric, ts")
    shown = np.stack([points[name].to_numpy() for name in QUANTILE_COLUMNS], axis=-1)
    expected = forecast_rows(rows).served().reshape(-1, 7)
    assert len(shown) == (3 * 14 + 1) * HORIZON_STEPS
    np.testing.assert_allclose(shown, expected, rtol=2e-6, atol=2e-5)
    assert (np.diff(shown) >= -1e-5).all()


def test_rows_without_a_recipe_are_served_to_the_last_bit(lake: LakeFixture) -> None:
    sql = "SELECT p02, p98 FROM {} WHERE server IN ('plain', 'user') ORDER BY server, metric, {}"
    points = lake.reader.query(sql.format("forecast_points", "ts"))
    lists = lake.reader.query(sql.format("forecasts", "issued_at"))
    for name in ("p02", "p98"):
        curves = np.concatenate(lists[name].to_pylist()).astype(np.float32)
        np.testing.assert_array_equal(points[name].to_numpy(), curves)


def test_changed_percentages_stay_within_0_and_100(lake: LakeFixture) -> None:
    worst = lake.reader.query(
        "SELECT min(p02) AS low, max(p98) FILTER (metric LIKE '%_pct') AS percent, "
        "max(p98) AS high FROM forecast_points WHERE server IN ('calibrated', 'blended')"
    ).to_pylist()[0]
    assert worst["low"] >= 0
    assert worst["percent"] <= 100 < worst["high"]


def test_an_abstained_forecast_keeps_the_models_own_and_serves_none(lake: LakeFixture) -> None:
    shadow = lake.one("SELECT count(p50) FROM forecasts WHERE server = 'shadow'")
    assert shadow == 14
    for view in ("forecast_points", "forecast_latest"):
        assert lake.one(f"SELECT count(*) FROM {view} WHERE server = 'shadow'") == 0
    issued = forecasts(lake.reader, NOW)
    assert np.isnan(issued.quantiles[issued.servers.index("shadow")]).all()


def test_the_newest_forecasts_are_as_served(lake: LakeFixture) -> None:
    issued, rows = forecasts(lake.reader, NOW), stored(lake)
    chosen = np.array(rows["server"].to_pylist()) == "blended"
    names = rows["metric"].filter(pa.array(chosen)).to_pylist()
    expected = forecast_rows(rows).served()[chosen]
    shown = issued.quantiles[issued.servers.index("blended")].swapaxes(0, 1)
    np.testing.assert_array_equal(shown[[METRIC_NAMES.index(n) for n in names]], expected)


def test_no_rows_are_no_arrays() -> None:
    empty = forecast_rows(table("forecasts").arrow.empty_table())
    assert empty.served().shape == (0, HORIZON_STEPS, 7)
