import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.lake.attach import ReadersBusy, reader_lock
from storage.lake.erasure import rewrite_masked
from storage.lake.writer import Writer
from storage.model.grid import floor_step
from storage.model.schema import table
from storage.query.reader import Reader
from storage.query.windows import rollup
from tests.conftest import NOW, LakeFixture

DAY = timedelta(days=1)
BEGINNING = NOW - 1000 * DAY


def sample(days: float, seconds: int = 0, memory: float = 50.0) -> dict[str, Any]:
    when = NOW - timedelta(days=days, seconds=seconds)
    return {"server": "a", "ts": when, "mem_used_pct": memory}


def roll_up(house: LakeFixture) -> None:
    house.put("metrics_5m", rollup(house.reader, BEGINNING, floor_step(NOW))[0])
    house.commit()


def stored_days(house: LakeFixture) -> list[int]:
    days = house.reader.query("SELECT DISTINCT $now::DATE - ts::DATE AS d FROM metrics", now=NOW)
    return sorted(days["d"].to_pylist())


def put_week(house: LakeFixture) -> None:
    house.put("metrics", [sample(day, s) for day in (0, 6, 7, 8, 9, 40) for s in (0, 60)])
    house.commit()


def test_whole_days_past_retention_are_deleted_and_their_rollups_stay(house: LakeFixture) -> None:
    put_week(house)
    roll_up(house)
    steps = house.one("SELECT count(*) FROM metrics_5m")
    house.writer.run_maintenance(NOW)
    assert stored_days(house) == [0, 6, 7]
    assert house.one("SELECT count(*) FROM metrics_5m") == steps


def test_samples_that_are_not_rolled_up_yet_stay(house: LakeFixture) -> None:
    put_week(house)
    roll_up(house)
    house.put("metrics", [sample(9, 30)])
    house.commit()
    house.writer.run_maintenance(NOW)
    assert stored_days(house) == [0, 6, 7, 9]
    roll_up(house)
    house.writer.run_maintenance(NOW)
    assert stored_days(house) == [0, 6, 7]


def test_a_late_sample_of_a_day_that_went_leaves_its_rollup_as_it_was(house: LakeFixture) -> None:
    house.put("metrics", [sample(9, 10, memory=20.0), sample(9, 20, memory=40.0)])
    house.commit()
    roll_up(house)
    house.writer.run_maintenance(NOW)
    house.put("metrics", [sample(9, 30, memory=99.0)])
    house.commit()
    assert rollup(house.reader, BEGINNING, floor_step(NOW))[0].num_rows == 0
    assert house.one("SELECT mem_used_pct_mean FROM metrics_5m") == 30
    house.writer.run_maintenance(NOW)
    assert stored_days(house) == []


def test_the_files_of_a_day_that_went_leave_the_disk_after_the_grace(house: LakeFixture) -> None:
    put_week(house)
    roll_up(house)
    folder = house.folders.lake / "main" / "metrics"
    before = len(list(folder.rglob("*.parquet")))
    house.writer.run_maintenance(NOW)
    assert len(list(folder.rglob("*.parquet"))) == before
    for _ in range(3):
        house.writer.run_maintenance(NOW + 300 * DAY)
    assert {p.parent.name for p in folder.rglob("*.parquet")} == {f"day={NOW.day}"}


def test_leftovers_of_killed_processes_are_removed(house: LakeFixture) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    old, new = (house.folders.inbox / f"{name}.parquet.partial" for name in ("old", "new"))
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    (house.folders.staging / f"{ended.pid}-x" / "lake").mkdir(parents=True)
    (house.folders.staging / f"{os.getpid()}-x").mkdir()
    house.writer.run_maintenance(NOW)
    assert list(house.folders.inbox.iterdir()) == [new]
    assert [p.name for p in house.folders.staging.iterdir()] == [f"{os.getpid()}-x"]


def test_retention_is_set_by_the_settings(tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text('[retention]\nruns = "1d"\nforecasts = "always"\n')
    writer, reader = Writer.open(tmp_path), Reader.open(tmp_path)
    house = LakeFixture(writer._folders, writer, reader)
    old = NOW - 3 * DAY
    house.put("runs", [{"run_id": "1", "function": "f", "ts": old, "outcome": "ok"}])
    row = {"server": "a", "metric": "m", "issued_at": old, "made_at": old, "state": "ok"}
    house.put("forecasts", [row])
    house.commit()
    writer.run_maintenance(NOW)
    assert house.one("SELECT count(*) FROM runs") == 0
    assert house.one("SELECT count(*) FROM forecasts") == 1
    reader.close()
    writer.close()


def test_files_whose_rows_were_completed_are_rewritten_and_merged(house: LakeFixture) -> None:
    """A file with masked rows would be left out of every merge."""
    for seconds in (0, 5, 10):
        first = {"server": "b", "ts": NOW - timedelta(seconds=seconds), "load_average": 1.0}
        house.put("metrics", [sample(0, seconds), first])
        house.commit()
        house.put("metrics", [first | {"load_average": None, "swap_used_pct": 2.0}])
        house.commit()
    for _ in range(3):
        house.writer.run_maintenance(NOW)
    files = "SELECT count(*) FROM ducklake_list_files('lake', 'metrics')"
    assert house.one(files) == 1
    assert (
        house.one("SELECT count(*) FROM metrics WHERE swap_used_pct = 2 AND load_average = 1") == 3
    )


def test_no_file_is_rewritten_while_a_reader_plans_its_query(house: LakeFixture) -> None:
    """It would read the old files no more and the new ones not yet."""
    house.put("metrics", [sample(0), sample(0, 5)])
    house.commit()
    house.put("metrics", [sample(0) | {"swap_used_pct": 2.0}])
    house.commit()
    metrics, connection = table("metrics"), house.writer._connection
    files = sorted(house.folders.lake.rglob("*.parquet"))
    with reader_lock(house.folders), pytest.raises(ReadersBusy):
        rewrite_masked(connection, metrics, patience_s=0.05)
    rewrite_masked(connection, metrics, patience_s=30)
    assert sorted(house.folders.lake.rglob("*.parquet")) != files
    assert house.one("SELECT count(mem_used_pct) FROM metrics") == 2
