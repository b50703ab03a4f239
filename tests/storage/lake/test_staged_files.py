import errno
import os
from datetime import timedelta
from pathlib import Path

import pytest

from storage.lake import staged_files
from storage.lake.backup import BackupRefused, back_up, restore
from storage.lake.file_reports import take_reports
from storage.lake.hash_manifest import HashManifest
from storage.query.reader import Reader
from tests.conftest import NOW, LakeFixture


def put_files(house: LakeFixture, *servers: str) -> dict[str, Path]:
    """Commit a sample of each server; returns its file."""
    files: dict[str, Path] = {}
    for seconds, server in enumerate(servers):
        ts = NOW - timedelta(seconds=60 - seconds)
        house.put("metrics", [{"server": server, "ts": ts, "mem_used_pct": 1.0}])
        house.commit()
        [new] = set((house.folders.lake / "main" / "metrics").rglob("*.parquet")) - {
            *files.values()
        }
        files[server] = new
    return files


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[50] ^= 2
    path.write_bytes(content)


def servers(data: Path) -> list[str]:
    reader = Reader.open(data)
    rows = reader.query("SELECT DISTINCT server FROM metrics ORDER BY ALL")
    reader.close()
    return [str(name) for name in rows["server"].to_pylist()]


def test_damaged_files_are_left_out_in_words_and_the_rest_is_restored(
    house: LakeFixture, tmp_path: Path
) -> None:
    files = put_files(house, "a", "b", "c", "d")
    flip(files["a"])
    files["b"].unlink()
    os.truncate(files["c"], 9)
    made = back_up(house.folders.data, tmp_path / "b.tar")
    for server, why in (("a", "is damaged: its content"), ("b", "is missing"), ("c", "is trunc")):
        [sentence] = [each for each in made.left_out if files[server].name in each]
        assert f"{files[server].name} {why}" in sentence
        assert f"1 rows of metrics (server {server}, 2026-05-06 11:59:3" in sentence
    assert set(take_reports(house.folders)) == {files[server].name for server in "abc"}
    assert restore(tmp_path / "b.tar", tmp_path / "again").left_out == made.left_out
    assert servers(tmp_path / "again") == ["d"]
    restored = HashManifest(tmp_path / "again" / "lake").read().hashes
    before = HashManifest(house.folders.lake).read().hashes
    assert restored.items() < before.items()
    assert len(restored) == len(before) - 3


def test_files_without_a_known_hash_are_backed_up_and_counted(
    house: LakeFixture, tmp_path: Path
) -> None:
    put_files(house, "a")
    HashManifest(house.folders.lake).path.unlink()
    made = back_up(house.folders.data, tmp_path / "b.tar")
    assert (made.left_out, made.unverified) == ((), 3)


def test_a_full_disk_ends_the_backup_and_leaves_no_file_out(
    house: LakeFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_files(house, "a")
    linked = staged_files.link

    def full(path: Path, target: Path) -> None:
        if "lake" in path.parts:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        linked(path, target)

    monkeypatch.setattr(staged_files, "link", full)
    with pytest.raises(BackupRefused, match="no backup was made"):
        back_up(house.folders.data, tmp_path / "b.tar")
