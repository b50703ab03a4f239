import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.config.folders import Folders
from storage.errors import LakeMissing
from storage.lake import backup, staged_files
from storage.lake.backup import BackupRefused, back_up, restore
from storage.lake.transaction import WriteConnection
from storage.lake.writer import Writer
from storage.model.schema import STOCK, Schema
from storage.query.reader import Reader
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at

COUNTS = "SELECT count(*) AS n, count(DISTINCT (server, ts)) AS distinct_rows FROM metrics"


def sample(seconds: int, server: str = "a") -> dict[str, Any]:
    return {"server": server, "ts": NOW - timedelta(seconds=seconds), "mem_used_pct": 0.5}


def fill(house: LakeFixture, commits: int = 3) -> None:
    for i in range(commits):
        house.put("metrics", [sample(i), sample(i, "b")])
        house.commit()


def count(data: Path) -> dict[str, int]:
    writer = Writer.open(data)
    while writer.commit_waiting(NOW).segments:
        pass
    writer.close()
    reader = Reader.open(data)
    result: dict[str, int] = reader.query(COUNTS).to_pylist()[0]
    reader.close()
    return result


@pytest.fixture(scope="module")
def archived(empty_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A data folder with six samples, and its backup `b.tar` in it."""
    data = tmp_path_factory.mktemp("archived")
    shutil.copytree(empty_lake, data, dirs_exist_ok=True)
    with house_at(data) as house:
        fill(house)
        back_up(data, data / "b.tar")
        return house.folders


@pytest.fixture
def archive(archived: Folders, tmp_path: Path) -> Path:
    """The backup alone in a folder."""
    return Path(shutil.copy(archived.data / "b.tar", tmp_path))


def test_a_restored_folder_has_every_row_and_the_inbox(house: LakeFixture, tmp_path: Path) -> None:
    fill(house)
    house.put("metrics", [sample(100)])
    made = back_up(house.folders.data, tmp_path / "b.tar")
    assert made.tables["metrics"].rows == 6
    restored = restore(tmp_path / "b.tar", tmp_path / "again")
    assert restored.tables == made.tables
    assert count(tmp_path / "again") == {"n": 7, "distinct_rows": 7}


def test_models_settings_and_rejected_files_are_backed_up(
    house: LakeFixture, tmp_path: Path
) -> None:
    house.commit()
    house.folders.settings.write_text("[web]\nport = 9000\n")
    house.folders.saved_queries.write_text("[]")
    (house.folders.models / "serving.onnx").write_bytes(b"model")
    (house.folders.rejected / "torn.parquet").write_bytes(b"torn")
    back_up(house.folders.data, tmp_path / "b.tar")
    restore(tmp_path / "b.tar", tmp_path / "again")
    again = Folders.at(tmp_path / "again")
    assert "9000" in again.settings.read_text()
    assert again.saved_queries.read_text() == "[]"
    assert (again.models / "serving.onnx").read_bytes() == b"model"
    assert (again.rejected / "torn.parquet").exists()


def test_a_segment_committed_while_the_backup_is_made_is_in_it_once(
    house: LakeFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(house)
    house.put("processes", [{"process": "web", "ts": NOW, "event": "started"}])
    linked = staged_files.link

    def commit_in_between(path: Path, target: Path) -> None:
        linked(path, target)
        house.commit()

    monkeypatch.setattr(backup, "link", commit_in_between)
    back_up(house.folders.data, tmp_path / "b.tar")
    restore(tmp_path / "b.tar", tmp_path / "again")
    count(tmp_path / "again")
    reader = Reader.open(tmp_path / "again")
    assert reader.query("SELECT count(*) AS n FROM processes")["n"].to_pylist() == [1]
    reader.close()


def test_a_file_removed_during_staging_starts_it_again(
    house: LakeFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(house)
    linked, gone = staged_files.link, iter([True])

    def gone_once(path: Path, target: Path) -> None:
        if "lake" in path.parts and next(gone, False):
            raise FileNotFoundError(path)
        linked(path, target)

    monkeypatch.setattr(staged_files, "link", gone_once)
    assert back_up(house.folders.data, tmp_path / "b.tar").tables["metrics"].rows == 6


def test_a_backup_beside_a_running_writer_is_complete(tmp_path: Path) -> None:
    data = tmp_path / "var"
    Writer.open(data).close()
    house = LakeFixture(Folders.at(data), None, None)
    writer = subprocess.Popen([sys.executable, "-m", "storage", "--data", str(data)])
    acked = 0
    try:
        for attempt in range(3):
            for i in range(40):
                house.put("metrics", [sample(1000 * attempt + i), sample(1000 * attempt + i, "b")])
                acked += 2
            back_up(data, tmp_path / f"{attempt}.tar")
            restore(tmp_path / f"{attempt}.tar", tmp_path / f"again{attempt}")
            assert count(tmp_path / f"again{attempt}") == {"n": acked, "distinct_rows": acked}
    finally:
        writer.terminate()
        writer.wait()


def test_nothing_is_left_behind_of_the_making(archived: Folders) -> None:
    assert not archived.staging.exists()
    assert [p.name for p in archived.data.glob("*.partial")] == []


def test_a_backup_is_valid_after_maintenance_of_the_lake(archive: Path) -> None:
    restored = archive.parent / "again"
    restore(archive, restored)
    writer = Writer.open(restored)
    for days in (0, 1, 2):
        writer.run_maintenance(NOW + timedelta(days=days))
    writer.close()
    assert count(restored)["n"] == 6


@pytest.mark.parametrize("left", [0.0, 0.3, 0.9, 0.99])
def test_a_truncated_backup_is_refused_and_nothing_is_made(archive: Path, left: float) -> None:
    content = archive.read_bytes()
    # tar fills its end up with zeros, which nobody misses
    content = content[: content.rindex(b"}") + 1]
    archive.write_bytes(content[: int(len(content) * left)])
    with pytest.raises(BackupRefused, match=r"truncated|not a (valid )?backup"):
        restore(archive, archive.parent / "again")
    assert not (archive.parent / "again").exists()


def test_a_damaged_backup_is_refused(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    with tarfile.open(archive) as tar:
        member = next(m for m in tar if m.name.startswith("lake/"))
    content[member.offset_data + 40] ^= 1
    archive.write_bytes(content)
    with pytest.raises(BackupRefused, match=r"is damaged: the hash of lake/.*is wrong"):
        restore(archive, archive.parent / "again")


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "foreign.tar", "w") as tar:
        tar.add(__file__, "x.py")
    with pytest.raises(BackupRefused, match="is not a backup"):
        restore(tmp_path / "foreign.tar", tmp_path / "again")


def test_a_folder_that_is_not_empty_is_refused(archived: Folders, archive: Path) -> None:
    with pytest.raises(BackupRefused, match="is not empty: name a new folder"):
        restore(archive, archived.data)


def test_a_file_that_is_there_is_not_overwritten(archived: Folders, archive: Path) -> None:
    with pytest.raises(BackupRefused, match="exists already"):
        back_up(archived.data, archive)


def test_without_a_lake_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(LakeMissing):
        back_up(tmp_path, tmp_path / "b.tar")


def older_schema() -> Schema:
    """Tables as an earlier version had them: no deletions, and fewer columns."""
    without = {"metrics": "source", "risks": "reasons", "metrics_5m": "uptime_days_count"}
    tables = (
        replace(t, columns=tuple(c for c in t.columns if c.name != without.get(t.name)))
        for t in STOCK.tables
        if t.name != "deletions"
    )
    return Schema(STOCK.metrics, tuple(tables))


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A backup made by an earlier version."""
    folders = Folders.at(tmp_path / "old").create()
    writer = WriteConnection(folders, older_schema())
    writer.run("INSERT INTO metrics (server, ts, mem_used_pct) VALUES ('a', $now, 5)", now=NOW)
    writer.run("INSERT INTO risks (server, issued_at, score) VALUES ('a', $now, 50)", now=NOW)
    writer.close()
    back_up(folders.data, tmp_path / "old.tar")
    return tmp_path / "old.tar"


def test_a_backup_of_an_older_version_is_upgraded(older: Path) -> None:
    data = older.parent / "new"
    restore(older, data)
    writer, reader = Writer.open(data), Reader.open(data)
    house = LakeFixture(Folders.at(data), writer, reader)
    house.put("metrics", [sample(1) | {"source": "host"}])
    house.commit()
    rows = reader.query("SELECT source, mem_used_pct AS m FROM metrics ORDER BY m").to_pylist()
    assert rows == [{"source": "host", "m": 0.5}, {"source": None, "m": 5.0}]
    assert house.one("SELECT count(*) FROM deletions") == 0
    assert house.one("SELECT count(*) FROM fleet_now") == 1
    reader.close()
    writer.close()


def test_a_backup_and_a_restored_folder_are_private_under_every_umask(
    archived: Folders, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        back_up(archived.data, tmp_path / "new.tar")
        restore(tmp_path / "new.tar", tmp_path / "again")
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in sorted(tmp_path.iterdir())] == [0o700, 0o600]
