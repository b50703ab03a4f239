from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.lake.damaged_files import TooManyDamaged, put_aside
from storage.lake.file_check import FileDamage, LakeFile, lake_files
from storage.lake.file_health import damage_records
from tests.conftest import NOW, LakeFixture


def sample(server: str, **values: float) -> dict[str, Any]:
    return {"server": server, "ts": NOW - timedelta(seconds=5)} | values


def files_of(house: LakeFixture, table: str) -> list[LakeFile]:
    return [f for f in lake_files(house.writer._connection.run) if f.table == table]


def aside(house: LakeFixture) -> set[str]:
    return {path.name for path in house.folders.damaged.iterdir()}


def test_with_a_lost_mask_its_data_file_goes_too_so_that_no_old_row_comes_back(
    house: LakeFixture,
) -> None:
    house.put("metrics", [sample("a", mem_used_pct=1), sample("b", mem_used_pct=1)])
    house.commit()
    house.put("metrics", [sample("a", load_average=2)])  # the row of before is masked
    house.commit()
    [mask] = [file for file in files_of(house, "metrics") if file.is_mask]
    [record] = put_aside(house.writer._connection, [FileDamage(mask, "damaged", "is damaged")])
    assert record.masked
    assert "has lost its mask" in record.why
    rows = house.reader.query("SELECT server, mem_used_pct, load_average FROM metrics").to_pylist()
    assert rows == [{"server": "a", "mem_used_pct": 1.0, "load_average": 2.0}]
    assert len(aside(house)) == 3  # the data file, its mask and the record


def test_what_was_put_aside_stays_while_maintenance_removes_the_entry(house: LakeFixture) -> None:
    house.put("metrics", [sample("a", mem_used_pct=1)])
    house.commit()
    [file] = files_of(house, "metrics")
    before = house.reader.snapshot()
    put_aside(house.writer._connection, [FileDamage(file, "damaged", "is damaged")])
    assert house.reader.snapshot() == before + 1
    for _ in range(2):
        house.writer.run_maintenance(NOW + timedelta(days=400))
    assert aside(house) == {file.name, f"{file.name}.json"}
    assert file.path not in house.writer._connection.named_files()
    assert [record.path for record in damage_records(house.folders)] == [file.path]


def test_many_damaged_files_at_once_are_left_for_a_person(house: LakeFixture) -> None:
    house.put("metrics", [sample("a", mem_used_pct=1)])
    house.commit()
    files = lake_files(house.writer._connection.run)
    with pytest.raises(TooManyDamaged, match=r"3 of the 3 files in .* mount its disk"):
        put_aside(house.writer._connection, [FileDamage(f, "missing", "is missing") for f in files])
    assert house.one("SELECT count(*) FROM metrics") == 1


def test_a_file_that_was_merged_meanwhile_is_no_damage(house: LakeFixture) -> None:
    gone = LakeFile(99, 1, "metrics", str(Path("main", "metrics", "x.parquet")), 1, 1)
    assert put_aside(house.writer._connection, [FileDamage(gone, "missing", "is missing")]) == []
