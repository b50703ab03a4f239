from datetime import timedelta
from pathlib import Path

import numpy as np

from scripts.tools.bench.fleet_workload import (
    STEP_S,
    forecasts,
    plain_duckdb,
    rolled_samples,
    samples,
)
from storage.model.grid import QUANTILE_COLUMNS
from storage.model.metrics import METRIC_NAMES
from tests.conftest import NOW, LakeFixture


def test_samples_are_sorted_by_time_and_repeat_with_the_seed() -> None:
    rows = samples(3, NOW, 4)
    assert rows.num_rows == 12
    times = rows["ts"].to_pylist()
    assert times == sorted(times)
    assert times[-1] - times[0] == 3 * timedelta(seconds=STEP_S)
    assert rows.equals(samples(3, NOW, 4))


def test_the_writer_takes_all_kinds_of_rows(house: LakeFixture) -> None:
    start = NOW.replace(second=0)
    for name, rows in (
        ("metrics", samples(2, start, 3)),
        ("metrics_5m", rolled_samples(2, start - timedelta(days=1))),
        ("forecasts", forecasts(2, start)),
    ):
        house.put(name, rows)
        assert house.commit().rows[name] == rows.num_rows


def test_the_quantiles_of_a_forecast_are_in_order() -> None:
    rows = forecasts(2, NOW)
    assert rows.num_rows == 2 * len(METRIC_NAMES)
    values = np.array([rows[name].to_pylist() for name in QUANTILE_COLUMNS])  # [7, N, 96]
    assert (np.diff(values, axis=0) >= 0).all()


def test_a_plain_file_has_the_same_rows(tmp_path: Path) -> None:
    rows = samples(2, NOW, 3)
    connection = plain_duckdb(tmp_path / "plain.duckdb", rows, "metrics")
    assert connection.sql("SELECT count(*), min(server) FROM metrics").fetchone() == (
        6, min(rows["server"].to_pylist()),
    )  # fmt: skip
    connection.close()
