import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.lake.backup import BackupRefused, back_up
from storage.lake.file_health import DamageRecord
from storage.lake.hash_manifest import FileHash
from storage.lake.recovery import _obstacle, recover
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


def test_only_a_sound_copy_is_taken_and_its_rows_come_back_once(
    house: LakeFixture, damaged: Path, tmp_path: Path
) -> None:
    assert "there is no sound copy in " in recovered(house, None)
    (tmp_path / "bad.tar").write_bytes(b"no archive")
    with pytest.raises(BackupRefused, match=r"bad\.tar cannot be read"):
        recovered(house, tmp_path / "bad.tar")
    assert damaged.exists()
    house.put("metrics", [{"server": "a", "ts": NOW, "mem_used_pct": 1.0}])  # sent again meanwhile
    assert "its rows are in the inbox" in recovered(house, tmp_path / "b.tar")
    house.commit()
    assert house.one(COUNTS) == 2
    assert list(house.folders.damaged.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"masked": True}, "some of its rows had been deleted or replaced"),
        ({"hash": None}, "its hash was not known"),
        ({"at": NOW - timedelta(days=1)}, "a server was deleted since"),
    ],
    ids=["masked", "unknown", "deleted"],
)
def test_a_file_whose_rows_are_uncertain_is_not_taken_back(
    change: dict[str, Any], why: str
) -> None:
    record = DamageRecord("a", "metrics", 1, "is missing", "", NOW, False, FileHash("00", 1))
    assert _obstacle(record, deleted_at=NOW - timedelta(hours=1)) is None
    assert why in str(_obstacle(replace(record, **change), deleted_at=NOW - timedelta(hours=1)))
