import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from storage.config.folders import Folders
from storage.lake.catalog_holder import hold_catalog_open
from storage.lake.catalog_snapshots import (
    KEPT,
    newest_snapshot,
    snapshot_time,
    snapshots,
    take_snapshot,
)
from tests.conftest import NOW, LakeFixture


def write_x(target: Path) -> None:
    target.write_text("x")


def test_the_newest_few_snapshots_are_kept(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    assert newest_snapshot(folders) is None
    times = [NOW + timedelta(minutes=5 * i) for i in range(KEPT + 2)]
    for ts in times:
        take_snapshot(folders, write_x, ts)
    assert [snapshot_time(p) for p in snapshots(folders)] == times[::-1][:KEPT]


def test_a_failed_copy_leaves_the_earlier_snapshots_and_nothing_else(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)

    def fail(target: Path) -> None:
        target.write_text("half")
        raise OSError("disk full")

    first = take_snapshot(folders, write_x, NOW)
    (folders.catalog_snapshots / "killed.partial").write_text("half")
    with pytest.raises(OSError, match="disk full"):
        take_snapshot(folders, fail, NOW + timedelta(minutes=5))
    assert list(folders.catalog_snapshots.iterdir()) == [first]


def test_a_file_with_another_name_is_not_a_snapshot(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    folders.catalog_snapshots.mkdir()
    other = folders.catalog_snapshots / "catalog-old.sqlite"
    other.write_text("x")
    assert snapshots(folders) == []
    with pytest.raises(ValueError, match="is not a snapshot"):
        snapshot_time(other)


def test_the_holder_copies_a_catalog_even_after_its_file_was_removed(house: LakeFixture) -> None:
    with hold_catalog_open(house.folders) as holder:
        assert holder is not None
        house.put("metrics", [{"server": "a", "ts": NOW, "load_average": 1}])
        house.commit()
        for path in house.folders.data.glob("catalog.sqlite*"):
            path.unlink()
        saved = take_snapshot(house.folders, holder.copy, NOW)
        with pytest.raises(OSError, match=r"was not copied: .*already exists"):
            holder.copy(saved)
    with closing(sqlite3.connect(saved)) as copy:
        names = copy.execute("SELECT path FROM ducklake_data_file").fetchall()
    assert any("year=2026/month=5/day=6" in name for (name,) in names)
