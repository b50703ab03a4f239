import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage.lake.backup import BackupRefused, back_up
from storage.lake.file_health import damage_records
from storage.lake.recovery import recover
from tests.conftest import NOW, LakeFixture

COUNTS = "SELECT count(*) FROM metrics"


@pytest.fixture
def damaged(house: LakeFixture, tmp_path: Path) -> Path:
    """A lake whose file of samples was put aside; returns the file in `damaged/`.

    The backup b.tar has it.
    """
    house.put("metrics", [{"server": s, "ts": NOW, "mem_used_pct": 1.0} for s in ("a", "b")])
    house.commit()
    back_up(house.folders.data, tmp_path / "b.tar")
    [path] = (house.folders.lake / "main" / "metrics").rglob("*.parquet")
    os.truncate(path, 30)
    house.writer.damage.check_presence()
    return house.folders.damaged / path.name


def recovered(house: LakeFixture, archive: Path | None) -> str:
    [sentence] = recover(house.folders.data, archive, NOW)
    return sentence


def test_the_rows_come_back_from_a_backup_once(
    house: LakeFixture, damaged: Path, tmp_path: Path
) -> None:
    house.put("metrics", [{"server": "a", "ts": NOW, "mem_used_pct": 1.0}])  # sent again meanwhile
    house.commit()
    assert "its rows are in the inbox" in recovered(house, tmp_path / "b.tar")
    house.commit()
    assert house.one(COUNTS) == 2
    assert list(house.folders.damaged.iterdir()) == []
    assert not damaged.exists()


def test_only_a_sound_copy_is_taken(house: LakeFixture, damaged: Path, tmp_path: Path) -> None:
    assert "there is no sound copy in " in recovered(house, None)
    assert damage_records(house.folders) != []
    (tmp_path / "bad.tar").write_bytes(b"no archive")
    with pytest.raises(BackupRefused, match=r"bad\.tar cannot be read"):
        recovered(house, tmp_path / "bad.tar")
    assert damaged.exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"masked": True}, "some of its rows had been deleted or replaced"),
        ({"hash": None}, "its hash was not known"),
        ({"at": NOW}, "a server was deleted since"),
    ],
    ids=["masked", "unknown", "deleted"],
)
def test_a_file_whose_rows_are_uncertain_is_not_taken_back(
    house: LakeFixture, damaged: Path, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    [record] = damage_records(house.folders)
    house.put("deletions", [{"server": "zz", "ts": NOW, "why": None}])
    house.commit()
    changed = replace(record, **{"at": NOW + timedelta(days=999)} | change)
    damaged.with_name(f"{damaged.name}.json").write_bytes(msgspec.json.encode(changed))
    assert f"not taken back: {why}" in recovered(house, tmp_path / "b.tar")
