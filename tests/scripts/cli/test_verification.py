from pathlib import Path
from typing import Any

from scripts.cli.verification import verify_lake
from storage.lake.file_reports import take_reports
from storage.lake.hash_manifest import HashManifest
from tests.conftest import NOW, LakeFixture


def put(house: LakeFixture, server: str) -> None:
    sample: dict[str, Any] = {"server": server, "ts": NOW, "mem_used_pct": 50.0}
    house.put("metrics", [sample])
    house.commit()


def verified(house: LakeFixture, adopt: bool = False) -> tuple[bool, str]:
    lines: list[str] = []
    result = verify_lake(house.folders.data, adopt, lines.append)
    return result, "\n".join(lines)


def file_of_metrics(house: LakeFixture) -> Path:
    [path] = (house.folders.lake / "main" / "metrics").rglob("*.parquet")
    return path


def test_a_flipped_bit_is_told_with_the_rows_and_reported_to_the_writer(
    house: LakeFixture,
) -> None:
    put(house, "a")
    path = file_of_metrics(house)
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    result, said = verified(house)
    assert not result
    assert f"{path.name} is damaged: its content is not what was written: 1 rows of metrics" in said
    assert "(server a, 2026-05-06 12:00:30+00 to 2026-05-06 12:00:30+00)" in said
    assert take_reports(house.folders) == [path.name]
    house.writer.damage.check_named([path.name])
    result, said = verified(house)
    assert result
    assert "put aside at " in said


def test_files_without_a_known_hash_are_counted_and_those_that_decode_adopted(
    house: LakeFixture,
) -> None:
    put(house, "a")
    HashManifest(house.folders.lake).path.unlink()
    path = file_of_metrics(house)
    content = path.read_bytes()
    result, said = verified(house)
    assert result
    assert "3 have no known hash" in said
    path.write_bytes(content[:4] + bytes(40) + content[44:])
    result, said = verified(house, adopt=True)
    assert not result
    assert f"{path.name} is damaged: " in said
    assert "2 had no known hash; it is recorded now" in said
    path.write_bytes(content)
    assert "1 had no known hash; it is recorded now" in verified(house, adopt=True)[1]
    assert ": 3 as they were written, 0 damaged" in verified(house)[1]


def test_what_takes_no_hash_is_noticed_without_one(house: LakeFixture) -> None:
    put(house, "a")
    HashManifest(house.folders.lake).path.unlink()
    path = file_of_metrics(house)
    path.write_bytes(path.read_bytes()[:-1])
    assert "is truncated" in verified(house)[1]
    path.unlink()
    assert "is missing" in verified(house)[1]
