import errno
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.lake import staged_files
from storage.lake.backup import BackupRefused, back_up, restore
from storage.lake.file_reports import take_reports
from storage.lake.hash_manifest import HashManifest
from storage.query.reader import Reader
from tests.conftest import NOW, LakeFixture


def put_two_files(house: LakeFixture) -> Path:
    """Commit a sample of a, then one of b; returns the file of a."""
    for seconds, server in ((10, "a"), (0, "b")):
        ts = NOW - timedelta(seconds=seconds)
        house.put("metrics", [{"server": server, "ts": ts, "mem_used_pct": 1.0}])
        house.commit()
    return min((house.folders.lake / "main" / "metrics").rglob("*.parquet"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[50] ^= 2
    path.write_bytes(content)


def servers(data: Path) -> list[str]:
    reader = Reader.open(data)
    rows = reader.query("SELECT DISTINCT server FROM metrics ORDER BY ALL")
    reader.close()
    return [str(name) for name in rows["server"].to_pylist()]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (flip, "is damaged: its content is not what was written"),
        (Path.unlink, "is missing"),
        (lambda path: os.truncate(path, 9), "is truncated: it has 9 bytes"),
    ],
    ids=["flipped", "missing", "truncated"],
)
def test_a_damaged_file_is_left_out_in_words_and_the_rest_is_restored(
    house: LakeFixture, tmp_path: Path, damage: Callable[[Path], Any], why: str
) -> None:
    path = put_two_files(house)
    damage(path)
    [sentence] = back_up(house.folders.data, tmp_path / "b.tar").left_out
    assert f"{path.name} {why}" in sentence
    assert "1 rows of metrics (server a, 2026-05-06 12:00:20+00 to " in sentence
    assert take_reports(house.folders) == [path.name]
    assert restore(tmp_path / "b.tar", tmp_path / "again").left_out == (sentence,)
    assert servers(tmp_path / "again") == ["b"]


def test_a_restored_lake_has_the_hashes_of_its_files(house: LakeFixture, tmp_path: Path) -> None:
    put_two_files(house)
    assert back_up(house.folders.data, tmp_path / "b.tar").unverified == 0
    restore(tmp_path / "b.tar", tmp_path / "again")
    before = HashManifest(house.folders.lake).read().hashes
    assert HashManifest(tmp_path / "again" / "lake").read().hashes == before


def test_files_without_a_known_hash_are_backed_up_and_counted(
    house: LakeFixture, tmp_path: Path
) -> None:
    put_two_files(house)
    HashManifest(house.folders.lake).path.unlink()
    made = back_up(house.folders.data, tmp_path / "b.tar")
    assert (made.left_out, made.unverified) == ((), 6)


def test_a_full_disk_ends_the_backup_and_leaves_no_file_out(
    house: LakeFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_two_files(house)
    linked = staged_files.link

    def full(path: Path, target: Path) -> None:
        if "lake" in path.parts:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        linked(path, target)

    monkeypatch.setattr(staged_files, "link", full)
    with pytest.raises(BackupRefused, match="no backup was made"):
        back_up(house.folders.data, tmp_path / "b.tar")
