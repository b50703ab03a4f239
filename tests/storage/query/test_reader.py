from pathlib import Path

import duckdb
import pytest

from storage.config.folders import Folders
from storage.lake.attach import WAL
from storage.lake.extensions import load_extension
from storage.query.reader import LakeMissing, LakeUnreadable, QueryFailed, Reader
from tests.conftest import NOW, LakeFixture


def test_a_folder_without_a_lake_is_reported_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(LakeMissing, match="hoursight demo"):
        Reader.open(tmp_path)


def test_a_damaged_catalog_is_reported(tmp_path: Path) -> None:
    Folders.at(tmp_path).create().catalog.write_bytes(b"no database" * 100)
    with pytest.raises(LakeUnreadable, match=r"catalog\.sqlite cannot be attached"):
        Reader.open(tmp_path)


def test_a_lake_whose_tables_are_still_to_be_made_is_none_yet(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    with duckdb.connect() as connection:
        for extension in ("ducklake", "sqlite_scanner"):
            load_extension(connection, extension)
        connection.execute(
            f"ATTACH 'ducklake:sqlite:{folders.catalog}' AS lake (DATA_PATH '{folders.lake}/'{WAL})"
        )
    with pytest.raises(LakeMissing):
        Reader.open(tmp_path)


def test_a_reader_cannot_write(house: LakeFixture) -> None:
    with pytest.raises(QueryFailed, match="read-only"):
        house.reader.query("DELETE FROM metrics")


def test_parameters_are_values_and_never_sql(house: LakeFixture) -> None:
    text = "'; DROP TABLE metrics; --"
    assert house.one("SELECT $x AS x", x=text) == text


def test_a_pinned_reader_sees_one_snapshot_while_others_see_the_newest(house: LakeFixture) -> None:
    with house.reader.pinned() as pinned:
        before = pinned.snapshot()
        house.put("scenarios", [{"ts": NOW, "scenario": "healthy"}])
        house.commit()
        assert pinned.query("SELECT * FROM scenarios").num_rows == 0
        assert pinned.snapshot() == before
        assert house.one("SELECT count(*) FROM scenarios") == 1


def test_rows_read_are_counted(house: LakeFixture) -> None:
    with house.reader.pinned() as pinned:
        pinned.query("SELECT * FROM range(7)")
        assert pinned.rows_read == 7
