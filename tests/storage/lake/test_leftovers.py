"""Files beside the lake that are removed in time."""

import os
from pathlib import Path

import pytest

from storage.config.folders import Folders
from storage.lake import leftovers
from storage.lake.leftovers import remove_leftovers


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path).create()


def reject(folders: Folders, name: str, size: int, mtime: float) -> Path:
    path = folders.rejected / name
    path.write_bytes(bytes(size))
    os.utime(path, (mtime, mtime))
    return path


def test_the_oldest_rejected_segments_are_removed_beyond_the_limit(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leftovers, "REJECTED_BYTES", 250)
    for number in range(4):
        reject(folders, f"{number}.parquet", 100, 1000 + number)
    remove_leftovers(folders)
    assert sorted(p.name for p in folders.rejected.iterdir()) == ["2.parquet", "3.parquet"]
    assert "the oldest 2 files were removed" in caplog.text


def test_what_is_within_the_limit_stays(folders: Folders) -> None:
    path = reject(folders, "old.parquet", 100, 0)
    remove_leftovers(folders)
    assert path.exists()


def test_the_results_that_a_killed_query_left_are_removed_after_a_day(folders: Folders) -> None:
    old, new = folders.data / "spill-0a", folders.data / "spill-0b"
    for folder in (old, new):
        folder.mkdir()
        (folder / "duckdb_temp_storage-0.tmp").touch()
    os.utime(old, (0, 0))
    remove_leftovers(folders)
    assert not old.exists()
    assert new.exists()
