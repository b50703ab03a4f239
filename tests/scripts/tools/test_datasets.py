from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts.tools.datasets import DATASETS, as_named, as_shapes, read_set, split
from storage.model.metrics import METRIC_NAMES

SMD = DATASETS[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight servers of the same days; the last one lacks its first step."""
    random = np.random.default_rng(0)
    rows = [
        {
            "ts": datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=5 * step),
            "server": f"smd-{server}",
            "split": "train",
            "anomaly": int(step == 3),
            **{f"m{c:02d}": float(random.random()) for c in range(38)},
            "m07": 0.0,
        }
        for server in range(8)
        for step in range(server == 7, 50)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "smd.parquet")
    return tmp_path


def test_servers_are_held_out_whole(folder: Path) -> None:
    learned, held_out = split(read_set(folder, "smd"))
    assert held_out.servers == ("smd-2", "smd-6")
    assert not set(held_out.servers) & set(learned.servers)
    assert len(learned.servers) == 6


def test_a_missing_row_stays_a_gap(folder: Path) -> None:
    columns = read_set(folder, "smd")
    assert np.isnan(columns.values[7, 0]).all()
    assert not np.isnan(columns.values[7, 1:]).any()


def test_named_columns_come_in_our_units(folder: Path) -> None:
    columns = read_set(folder, "smd")
    history = as_named(columns, SMD)
    idle = history.values[..., METRIC_NAMES.index("cpu_idle_pct")]
    np.testing.assert_allclose(idle, 100 - 100 * columns.values[..., 0], rtol=1e-4, atol=1e-4)
    assert np.isnan(history.values[..., METRIC_NAMES.index("uptime_days")]).all()


def test_every_column_that_varies_is_used_once(folder: Path) -> None:
    shapes = as_shapes(read_set(folder, "smd"))
    used = sum(int((~np.isnan(h.values).all(1)).sum()) for h in shapes)
    assert used == 8 * 37  # m07 never moves
    assert all(np.isnan(h.values[..., -1]).all() for h in shapes)


def test_labelled_steps_are_marked(folder: Path) -> None:
    history = as_named(read_set(folder, "smd"), SMD)
    assert history.anomalous is not None
    assert history.anomalous.sum() == 8
