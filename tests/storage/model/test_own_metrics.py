"""A 15th metric: from a line in the settings to SQL, without code."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.lake.writer import Writer
from storage.model.grid import floor_step, schema_hash
from storage.query.reader import Reader
from storage.query.windows import contexts, rollup
from tests.conftest import NOW, LakeFixture

GPU = '[[metrics]]\nname = "gpu_used_pct"\nunit = "%"\nhighest = 100\nwarn = 90\ncritical = 98\n'
STOP = floor_step(NOW)


def sample(seconds: int, **values: float) -> dict[str, Any]:
    return {"server": "a", "ts": STOP - timedelta(seconds=seconds)} | values


def opened(data: Path) -> LakeFixture:
    writer = Writer.open(data)
    return LakeFixture(Folders.at(data), writer, Reader.open(data))


@pytest.fixture
def gpus(tmp_path: Path) -> Iterator[LakeFixture]:
    """A data folder that had the 14 metrics and rows of them before the 15th came."""
    before = opened(tmp_path)
    before.put("metrics", [sample(900, mem_used_pct=10.0)])
    before.commit()
    before.put("metrics_5m", rollup(before.reader, NOW - timedelta(days=9), STOP)[0])
    before.commit()
    close(before)
    forget_settings()
    (tmp_path / "hoursight.toml").write_text(GPU)
    house = opened(tmp_path)
    yield house
    close(house)
    forget_settings()


def close(house: LakeFixture) -> None:
    house.reader.close()
    house.writer.close()


def forget_settings() -> None:
    """As a new process would."""
    from storage.config.settings import schema_of

    schema_of.cache_clear()


def put(house: LakeFixture, *samples: dict[str, Any]) -> None:
    house.put("metrics", pa.Table.from_pylist([{"mem_used_pct": None, **each} for each in samples]))


def test_a_metric_of_ones_own_goes_from_the_settings_to_sql(gpus: LakeFixture) -> None:
    put(gpus, sample(10, gpu_used_pct=20.0), sample(20, gpu_used_pct=40.0, mem_used_pct=60.0))
    gpus.commit()
    gpus.put("metrics_5m", rollup(gpus.reader, NOW - timedelta(days=9), STOP)[0])
    gpus.commit()
    rows = gpus.reader.query(
        "SELECT gpu_used_pct_mean AS mean, gpu_used_pct_max AS highest, gpu_used_pct_count AS n, "
        "mem_used_pct_mean AS mem FROM metrics_5m ORDER BY ts"
    ).to_pylist()
    assert rows == [
        {"mean": None, "highest": None, "n": None, "mem": 10.0},
        {"mean": 30.0, "highest": 40.0, "n": 2, "mem": 60.0},
    ]


def test_a_value_outside_an_own_metrics_range_is_refused(gpus: LakeFixture) -> None:
    put(gpus, sample(10, gpu_used_pct=120.0, mem_used_pct=60.0))
    gpus.commit()
    assert gpus.one("SELECT refusals[1] FROM segments WHERE rows_refused > 0").startswith(
        "gpu_used_pct: 120 % lies outside 0–100 (a;"
    )
    assert gpus.one("SELECT count(gpu_used_pct) FROM metrics") == 0


def test_the_models_contract_has_the_fourteen_metrics_only(gpus: LakeFixture) -> None:
    before = schema_hash()
    put(gpus, sample(10, gpu_used_pct=20.0))
    gpus.commit()
    assert schema_hash() == before
    assert contexts(gpus.reader, STOP).values.shape == (1, 288, 14)


def test_a_running_writer_adds_a_new_metric(house: LakeFixture) -> None:
    house.commit()
    house.folders.settings.write_text(GPU)
    put(house, sample(10, gpu_used_pct=20.0))
    house.commit()
    assert house.one("SELECT gpu_used_pct FROM metrics") == 20


def test_a_writer_continues_with_invalid_settings(house: LakeFixture) -> None:
    house.put("scenarios", [{"ts": NOW, "scenario": "healthy"}])
    house.folders.settings.write_text("[[metrics]]\nname = 'CPU load'\n")
    assert house.commit().rows["scenarios"] == 1


def test_a_metric_that_is_taken_out_again_keeps_its_rows(gpus: LakeFixture) -> None:
    put(gpus, sample(10, gpu_used_pct=20.0))
    gpus.commit()
    gpus.folders.settings.write_text("")
    forget_settings()
    put(gpus, sample(20, mem_used_pct=60.0))
    gpus.commit()
    rows, _ = rollup(gpus.reader, NOW - timedelta(days=9), STOP)
    assert "gpu_used_pct_mean" not in rows.column_names
    assert gpus.one("SELECT max(gpu_used_pct) FROM metrics") == 20


def test_the_settings_of_a_metric_become_its_levels(tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text(GPU)
    own = read_settings(tmp_path).schema().metrics[-1]
    assert own.levels is not None
    assert (own.label, own.levels.critical, own.valid_range) == ("gpu_used_pct", 98, "0–100")
