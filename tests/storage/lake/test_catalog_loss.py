import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from storage.config.folders import Folders
from storage.errors import LakeMissing, LakeUnreadable
from storage.lake.backup import back_up
from storage.lake.catalog import lake_location
from storage.lake.catalog_loss import (
    CatalogLost,
    catalog_fault,
    check_integrity,
    last_backup,
    marked_id,
    record_backup,
)
from storage.lake.writer import Writer
from storage.query.reader import Reader
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at


@pytest.fixture(scope="module")
def filled(empty_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A data folder with one sample, closed."""
    data = tmp_path_factory.mktemp("filled")
    shutil.copytree(empty_lake, data, dirs_exist_ok=True)
    with house_at(data) as house:
        house.put("metrics", [{"server": "a", "ts": NOW, "load_average": 1}])
        house.commit()
        return house.folders


@pytest.fixture
def folders(filled: Folders, tmp_path: Path) -> Folders:
    shutil.copytree(filled.data, tmp_path, dirs_exist_ok=True)
    return Folders.at(tmp_path)


def remove(catalog: Path) -> None:
    catalog.unlink()


def empty(catalog: Path) -> None:
    catalog.write_bytes(b"")


def cut(catalog: Path) -> None:
    catalog.write_bytes(catalog.read_bytes()[:60_000])


def overwrite(catalog: Path) -> None:
    catalog.write_bytes(b"PAR1" * 1000)


def damage(catalog: Path) -> None:
    content = bytearray(catalog.read_bytes())
    content[4096 : len(content) // 2] = bytes(len(content) // 2 - 4096)
    catalog.write_bytes(content)


def other_database(catalog: Path) -> None:
    catalog.unlink()
    with closing(sqlite3.connect(catalog)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE notes (text)")


def new_lake(catalog: Path) -> None:
    """As an earlier release did: a new empty lake over the old files."""
    catalog.unlink()
    home = catalog.parent / "elsewhere"
    Writer.open(home).close()
    shutil.copy2(home / "catalog.sqlite", catalog)
    shutil.rmtree(home)


FAULTS = [
    (remove, "is missing"), (empty, "is empty"), (cut, "is truncated"),
    (overwrite, "is not a SQLite file"), (damage, "is damaged"), (other_database, "has no lake"),
    (new_lake, "is the catalog of another lake"),
]  # fmt: skip
DOORS: list[Callable[[Path], object]] = [
    Writer.open, Reader.open, lambda data: check_integrity(Folders.at(data)),
    lambda data: back_up(data, data / "b.tar"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "fault"), FAULTS)
def test_every_start_refuses_a_lost_catalog_and_says_what_lies_there(
    folders: Folders, spoil: Callable[[Path], None], fault: str
) -> None:
    spoil(folders.catalog)
    before = folders.catalog.read_bytes() if folders.catalog.exists() else None
    for door in DOORS:
        with pytest.raises(CatalogLost) as refusal:
            door(folders.data)
        text = str(refusal.value)
        assert f"catalog.sqlite {fault}" in text
        assert "2 Parquet files" in text or "3 Parquet files" in text
        assert "metrics" in text
        assert "rows from 2026-05-06" in text
        assert f"hoursight rebuild --data {folders.data}" in text
    assert before == (folders.catalog.read_bytes() if folders.catalog.exists() else None)
    assert not (folders.data / "b.tar").exists()


def test_a_new_empty_lake_over_old_files_is_refused_without_a_marker_too(folders: Folders) -> None:
    (folders.lake / "catalog.json").unlink()
    new_lake(folders.catalog)
    with pytest.raises(CatalogLost):
        Reader.open(folders.data)
    with pytest.raises(CatalogLost):
        Writer.open(folders.data)


def test_a_lake_of_an_earlier_release_gets_its_marker_at_the_next_start(folders: Folders) -> None:
    marked = marked_id(folders.lake)
    (folders.lake / "catalog.json").unlink()
    Writer.open(folders.data).close()
    assert marked is not None
    assert marked_id(folders.lake) == marked


def test_without_parquet_files_nothing_is_lost(folders: Folders) -> None:
    shutil.rmtree(folders.lake / "main")
    folders.catalog.unlink()
    with pytest.raises(LakeMissing):
        Reader.open(folders.data)
    check_integrity(folders)
    Writer.open(folders.data).close()
    Reader.open(folders.data).close()


def test_a_whole_catalog_has_no_fault(folders: Folders) -> None:
    assert catalog_fault(lake_location(folders).catalog.path) is None  # type: ignore[union-attr]
    check_integrity(folders)


def test_a_refusal_offers_the_last_backup(folders: Folders) -> None:
    archive = folders.data / "monday.tar"
    back_up(folders.data, archive)
    folders.catalog.unlink()
    with pytest.raises(LakeUnreadable, match=f"hoursight restore {archive}"):
        Reader.open(folders.data)
    archive.unlink()
    assert last_backup(folders) is None
    with pytest.raises(LakeUnreadable, match="hoursight restore FILE"):
        Reader.open(folders.data)


def test_a_writer_whose_catalog_was_removed_keeps_segments_and_makes_no_new_one(
    house: LakeFixture,
) -> None:
    house.put("metrics", [{"server": "a", "ts": NOW, "load_average": 1}])
    house.commit()
    house.folders.catalog.unlink()
    waiting = house.put("metrics", [{"server": "b", "ts": NOW, "load_average": 1}])
    for _ in range(2):
        with pytest.raises(CatalogLost, match="was removed or replaced while the writer ran"):
            house.commit()
        with pytest.raises(CatalogLost):
            house.writer.run_maintenance(NOW)
    assert waiting.exists()
    assert not house.folders.catalog.exists()


def test_a_backup_of_a_read_only_folder_is_not_recorded(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path / "missing")
    record_backup(folders, tmp_path / "b.tar")
    assert last_backup(folders) is None
