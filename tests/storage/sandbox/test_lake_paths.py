"""Files that a sandbox may read."""

from pathlib import Path

from storage.config.folders import Folders
from storage.sandbox.lake_paths import lake_paths, lake_stamp


def test_a_sandbox_reads_no_key_and_no_setting(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    names = {path.name for path in lake_paths(folders)}
    assert names == {
        "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "merge.gate", "merge.lock",
    }  # fmt: skip
    assert not {folders.data, folders.keys, folders.settings} & set(lake_paths(folders))


def test_the_stamp_changes_when_a_file_is_another_one(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    folders.catalog.write_text("a")
    before = lake_stamp(folders, folders.lake)
    folders.catalog.write_text("b")
    assert lake_stamp(folders, folders.lake) == before
    other = tmp_path / "other"
    other.write_text("c")
    other.replace(folders.catalog)
    assert lake_stamp(folders, folders.lake) != before
