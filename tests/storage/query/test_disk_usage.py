"""What a data folder takes on the disk, by kind."""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from storage.query.disk_usage import DiskUse, disk_use, files_below, orphaned_files
from tests.conftest import NOW, LakeFixture


def uses(house: LakeFixture) -> Mapping[str, DiskUse]:
    return {use.kind: use for use in disk_use(house.reader, NOW)}


def orphaned(house: LakeFixture) -> tuple[Path, ...]:
    return orphaned_files(house.reader, dict(files_below(house.folders.lake)), NOW)


def put(house: LakeFixture, minute: int) -> None:
    ts = NOW - timedelta(minutes=minute)
    house.put("metrics", [{"server": "a", "ts": ts, "load_average": 1.0}])


def test_each_kind_of_file_is_counted_where_it_lies(house: LakeFixture) -> None:
    put(house, 1)
    house.commit()
    put(house, 2)
    (house.folders.rejected / "x.parquet").write_bytes(bytes(1000))
    found = uses(house)
    assert found["lake"].files >= 2
    assert found["segments"].files == 1
    assert (found["rejected segments"].files, found["rejected segments"].bytes) == (1, 1000)
    assert found["catalog"].bytes == house.folders.catalog.stat().st_size
    assert "models" not in found
    assert "messages of alerts" not in found
    house.folders.outbox.write_bytes(bytes(10))
    assert uses(house)["messages of alerts"].bytes == 10


def test_a_file_that_no_catalog_names_is_orphaned_and_those_of_merges_are_not(
    house: LakeFixture,
) -> None:
    for minute in range(1, 6):
        put(house, minute)
        house.commit()
    house.writer.run_maintenance(NOW)
    left = house.folders.lake / "main" / "metrics" / "left.parquet"
    left.write_bytes(bytes(10))
    for path in house.folders.lake.rglob("*.parquet"):
        os.utime(path, (0, 0))
    assert orphaned(house) == (left,)
    assert uses(house)["orphaned files"].excess


def test_a_young_file_may_belong_to_a_commit(house: LakeFixture) -> None:
    (house.folders.lake / "young.parquet").write_bytes(bytes(10))
    young = (house.folders.lake / "young.parquet").stat().st_mtime
    os.utime(house.folders.lake / "young.parquet", (young, NOW.timestamp() - 60))
    assert orphaned(house) == ()


def test_a_long_log_of_the_catalog_is_too_much(house: LakeFixture) -> None:
    log = house.folders.catalog.with_name("catalog.sqlite-wal")
    with log.open("ab") as file:
        file.truncate(300_000_000)
    found = [use for use in disk_use(house.reader, NOW) if use.kind == "catalog's log"]
    assert [use.excess for use in found] == [True]
