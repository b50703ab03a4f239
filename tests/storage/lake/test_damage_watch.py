import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from storage.__main__ import check_files
from storage.lake.file_health import damage_records
from storage.lake.scrub import Scrub
from storage.lake.writer import Writer
from storage.query.reader import QueryFailed, Reader
from tests.conftest import NOW, LakeFixture


def sample(server: str, seconds: int = 0) -> dict[str, Any]:
    return {"server": server, "ts": NOW - timedelta(seconds=seconds), "mem_used_pct": 50.0}


def put_two_files(house: LakeFixture) -> Path:
    """Commit samples of a and b in a file each; returns the file of a."""
    house.put("metrics", [sample("a", 20), sample("a", 10)])
    house.commit()
    [path] = (house.folders.lake / "main" / "metrics").rglob("*.parquet")
    house.put("metrics", [sample("b")])
    house.commit()
    return path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 0x08
    path.write_bytes(content)


def test_maintenance_and_readers_go_on_beside_a_missing_file(house: LakeFixture) -> None:
    put_two_files(house).unlink()
    house.writer.run_maintenance(NOW)
    assert house.one("SELECT string_agg(DISTINCT server) FROM metrics") == "b"
    [record] = damage_records(house.folders)
    assert str(record).endswith(
        "is missing: 2 rows of metrics (server a, 2026-05-06 12:00:10+00 to 2026-05-06 12:00:20+00)"
    )


def test_a_commit_that_reads_a_truncated_file_puts_it_aside_and_succeeds(
    house: LakeFixture,
) -> None:
    path = put_two_files(house)
    os.truncate(path, 30)
    house.put("metrics", [sample("a", 20) | {"load_average": 1.0}])  # its key is in the file
    assert house.commit().rows["metrics"] == 1
    assert not path.exists()
    assert (house.folders.damaged / path.name).stat().st_size == 30


def test_a_writer_starts_beside_a_damaged_file(house: LakeFixture) -> None:
    path = put_two_files(house)
    house.writer.close()
    os.truncate(path, 30)
    house.writer = Writer.open(house.folders.data)
    assert house.one("SELECT count(*) FROM metrics") == 1


def test_a_flipped_bit_is_noticed_by_the_hash(house: LakeFixture) -> None:
    path = put_two_files(house)
    flip(path)
    assert house.writer.damage.check_presence() == []
    [record] = house.writer.damage.check_named([path.name])
    assert "its content is not what was written" in record.why
    with Reader.open(house.folders.data).pinned() as reader:
        assert reader.query("SELECT DISTINCT server FROM metrics")["server"].to_pylist() == ["b"]


def test_an_error_that_names_no_file_leads_to_the_damaged_one(house: LakeFixture) -> None:
    path = put_two_files(house)
    flip(path)
    records = house.writer.damage.after(duckdb.Error("TProtocolException: Invalid data"))
    assert [record.path for record in records] == [path.relative_to(house.folders.lake).as_posix()]


@pytest.mark.parametrize("text", ["Conversion Error: no number", "TProtocolException: Invalid"])
def test_an_error_without_a_damaged_file_puts_nothing_aside(house: LakeFixture, text: str) -> None:
    put_two_files(house)
    for _ in range(2):
        assert house.writer.damage.after(duckdb.Error(text)) == []
    assert house.one("SELECT count(*) FROM metrics") == 3


def test_a_lake_whose_files_are_all_missing_is_left_as_it_is(
    house: LakeFixture, caplog: pytest.LogCaptureFixture
) -> None:
    put_two_files(house)
    (house.folders.lake / "main").rename(house.folders.data / "unmounted")
    assert house.writer.damage.check_presence() == []
    assert "mount its disk" in caplog.text
    (house.folders.data / "unmounted").rename(house.folders.lake / "main")
    assert house.one("SELECT count(*) FROM metrics") == 3


def test_a_reader_reports_a_truncated_file_in_words_and_goes_on_once_it_is_aside(
    house: LakeFixture,
) -> None:
    path = put_two_files(house)
    os.truncate(path, 30)
    with pytest.raises(QueryFailed, match=r"lake/main/metrics/.*parquet is missing, damaged") as e:
        house.one("SELECT sum(mem_used_pct) FROM metrics")
    assert "the writer puts it aside within seconds" in str(e.value.remedy)
    assert str(house.folders.data) not in str(e.value)
    check_files(Scrub(house.folders, house.writer.damage, NOW), house.writer)
    assert house.one("SELECT sum(mem_used_pct) FROM metrics") == 50


def test_a_damaged_file_of_the_user_is_not_one_of_the_lake(
    house: LakeFixture, tmp_path: Path
) -> None:
    (tmp_path / "own.parquet").write_text("PAR1 not Parquet")
    with pytest.raises(QueryFailed) as error:
        house.reader.query(f"FROM '{tmp_path}/own.parquet'")
    assert error.value.remedy is None
    assert not house.folders.file_reports.exists()
