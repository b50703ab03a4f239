"""The rebuilt lake has the rows of the lost one, whatever lies on the disk beside them."""

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from storage.config.folders import Folders
from storage.config.settings import LakeSettings, Settings, write_settings
from storage.inbox import segment
from storage.lake import rebuild as rebuild_module
from storage.lake.attach import attach_new
from storage.lake.catalog import SqliteCatalog, lake_location
from storage.lake.catalog_snapshots import take_snapshot
from storage.lake.hash_manifest import HashManifest
from storage.lake.rebuild import RebuildRefused, RebuildReport, rebuild
from storage.lake.writer import Writer, WriterRunning
from storage.query.reader import Reader
from tests.conftest import NOW, LakeFixture

MORE = {"mem_used_pct": 7.0}
FILLED = ("metrics", "processes", "server_facts", "deletions", "segments")
Rows = dict[str, list[str]]


def sample(server: str, seconds: int = 0, **values: float) -> dict[str, Any]:
    return {"server": server, "ts": NOW - timedelta(seconds=seconds), "load_average": 1.0} | values


def fill(house: LakeFixture) -> None:
    """Rows of three servers, a completed one, and an event that names one of them."""
    house.put("metrics", [sample(s, i) for s in ("a", "b", "c") for i in range(3)])
    house.put("processes", [{"process": "p", "ts": NOW, "event": "started", "detail": "b is up"}])
    house.commit()
    house.put("metrics", [{"server": "a", "ts": NOW, "mem_used_pct": 5.0}])
    house.put("server_facts", [{"server": "a", "ts": NOW, "profile": "db"}])
    house.commit()


def parquet(house: LakeFixture) -> list[Path]:
    return list((house.folders.lake / "main").rglob("*.parquet"))


def hashed(house: LakeFixture) -> set[Path]:
    manifest = HashManifest(house.folders.lake)
    return {house.folders.lake / path for path in manifest.read().hashes}


def delete(house: LakeFixture, server: str) -> None:
    segment.write_row(house.folders, "deletions", "command", {"server": server, "ts": NOW})
    house.commit()


def all_rows(data: Path) -> Rows:
    with closing(Reader.open(data, unrestricted=True)) as reader:
        return {t: sorted(map(str, reader.query(f"FROM {t}").to_pylist())) for t in FILLED}


def snapshot(house: LakeFixture) -> None:
    def copy(target: Path) -> None:
        with closing(sqlite3.connect(target)) as new, closing(_open(house.folders.catalog)) as old:
            old.backup(new)

    house.writer.close()  # so that no connection of this process loses its locks
    house.reader.close()
    take_snapshot(house.folders, copy, NOW)
    house.writer, house.reader = Writer.open(house.folders.data), Reader.open(house.folders.data)


def _open(catalog: Path) -> sqlite3.Connection:
    return sqlite3.connect(catalog)


def lose(house: LakeFixture) -> Rows:
    """Close the lake and remove its catalog; returns the rows that it had."""
    rows = all_rows(house.folders.data)
    house.writer.close()
    house.reader.close()
    for path in house.folders.data.glob("catalog.sqlite*"):
        path.unlink()
    return rows


def counts(report: RebuildReport, table: str) -> tuple[int, int, int, int]:
    each = next(t for t in report.tables if t.table == table)
    return each.rows_in_files, each.rows_replaced, each.rows_erased, each.rows


def live_through(house: LakeFixture) -> None:
    """Merges, a deletion, a snapshot of the catalog, and after it the same and more."""
    fill(house)
    delete(house, "b")
    house.writer.run_maintenance(NOW)
    snapshot(house)
    house.put("metrics", [sample("d"), sample("b", -60), {"server": "c", "ts": NOW, **MORE}])
    house.commit()
    delete(house, "d")
    house.writer.run_maintenance(NOW)


def test_a_rebuilt_lake_has_the_same_rows_and_keeps_them(house: LakeFixture) -> None:
    live_through(house)
    rows = lose(house)
    for files_only in (True, False):
        house.folders.catalog.unlink(missing_ok=True)
        report = rebuild(house.folders.data, files_only=files_only)
        assert (report.snapshot is None) == files_only
        assert all_rows(house.folders.data) == rows
        assert hashed(house) >= {path for path in parquet(house) if "delete" not in path.name}
        assert {t.table: t.rows for t in report.tables if t.files} == {
            name: len(each) for name, each in rows.items()
        }
    with closing(Writer.open(house.folders.data)) as writer:
        writer.run_maintenance(NOW)
        named = writer._connection.named_files()
    assert all_rows(house.folders.data) == rows
    assert {path.relative_to(house.folders.lake).as_posix() for path in parquet(house)} == named


def test_segments_that_waited_are_committed_once(house: LakeFixture) -> None:
    fill(house)
    again = house.put("processes", [{"process": "q", "ts": NOW, "event": "started"}])
    kept = again.read_bytes()
    house.commit()
    again.write_bytes(kept)  # as a kill between COMMIT and removal leaves it
    rows = lose(house)
    rebuild(house.folders.data)
    with closing(Writer.open(house.folders.data)) as writer:
        assert writer.commit_waiting(NOW).repeated == 1
    assert all_rows(house.folders.data) == rows


def test_a_deletion_that_was_cut_off_happens_again(house: LakeFixture) -> None:
    """Its row of the commit log is on the disk, and its own row is not."""
    fill(house)
    path = segment.write_row(house.folders, "deletions", "command", {"server": "b", "ts": NOW})
    request = path.read_bytes()
    house.commit()
    shutil.rmtree(house.folders.lake / "main" / "deletions")
    path.write_bytes(request)
    lose_files = list(house.folders.data.glob("catalog.sqlite*"))
    house.writer.close()
    house.reader.close()
    for each in lose_files:
        each.unlink(missing_ok=True)
    rebuild(house.folders.data)
    with closing(Writer.open(house.folders.data)) as writer:
        assert writer.commit_waiting(NOW).rows["deletions"] == 1
    with closing(Reader.open(house.folders.data)) as reader:
        assert reader.query("FROM metrics WHERE server = 'b'").num_rows == 0


def test_own_metrics_of_an_earlier_setting_keep_their_values(house: LakeFixture) -> None:
    house.folders.settings.write_text('[[metrics]]\nname = "fans"\nmeaning = "speed"\n')
    house.commit()
    rows = pa.table({"server": ["a"], "ts": [NOW], "fans": pa.array([900.0], pa.float32())})
    house.put("metrics", rows)
    house.commit()
    house.folders.settings.unlink()
    before = lose(house)
    rebuild(house.folders.data)
    assert all_rows(house.folders.data) == before
    assert "'fans': 900.0" in before["metrics"][0]


def test_files_that_cannot_be_read_are_unknown_or_missing_are_named(house: LakeFixture) -> None:
    fill(house)
    snapshot(house)
    lose(house)
    tables = house.folders.lake / "main"
    torn = next((tables / "server_facts").glob("*.parquet"))
    os.truncate(torn, 100)
    (tables / "notes").mkdir()
    next((tables / "processes").glob("*.parquet")).rename(tables / "notes" / "x.parquet")
    report = rebuild(house.folders.data)
    assert [Path(path).name for path, _ in report.unreadable] == [torn.name]
    assert report.unknown == ["main/notes/x.parquet"]
    assert (report.missing_files, report.missing_rows) == (1, 1)
    assert ("processes", "2026-05-06", 1) in report.unaccounted
    assert torn.exists()


def test_a_damaged_catalog_and_its_wal_are_put_aside(house: LakeFixture) -> None:
    fill(house)
    rows = lose(house)
    catalog = house.folders.catalog
    catalog.write_bytes(b"damaged")
    catalog.with_name("catalog.sqlite-wal").write_bytes(b"old")
    (house.folders.last_values).write_bytes(b"by the old catalog")
    report = rebuild(house.folders.data)
    assert report.put_aside is not None
    assert report.put_aside.read_bytes() == b"damaged"
    assert report.put_aside.with_name(report.put_aside.name + "-wal").read_bytes() == b"old"
    assert not house.folders.last_values.exists()
    assert all_rows(house.folders.data) == rows


def test_a_rebuild_refuses_what_it_cannot_do(house: LakeFixture, tmp_path: Path) -> None:
    fill(house)
    data = house.folders.data
    with pytest.raises(WriterRunning, match="stop it first"):
        rebuild(data)
    house.writer.close()
    with pytest.raises(RebuildRefused, match="is whole"):
        rebuild(data)
    other = tmp_path / "other.sqlite"
    other.write_bytes(b"not SQLite" * 100)
    with pytest.raises(RebuildRefused, match="is not a catalog snapshot"):
        rebuild(data, other, force=True)
    foreign = tmp_path / "elsewhere.sqlite"
    attach_new(replace(lake_location(house.folders), catalog=SqliteCatalog(foreign))).close()
    with pytest.raises(RebuildRefused, match="of another lake"):
        rebuild(data, foreign, force=True)
    write_settings(data, Settings(lake=LakeSettings("postgres:dbname=x")))
    with pytest.raises(RebuildRefused, match="pg_dump"):
        rebuild(data)


def test_counts_that_differ_leave_the_refusal(
    house: LakeFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(house)
    lose(house)
    monkeypatch.setattr(rebuild_module, "identity_columns", lambda _table: ("ts",))
    with pytest.raises(RebuildRefused, match="different keys"):
        rebuild(house.folders.data)
    assert not house.folders.catalog.exists()
    assert list(house.folders.data.glob("catalog.rebuild*")) == []


def test_a_moved_folder_with_an_unusable_snapshot_is_rebuilt(
    house: LakeFixture, tmp_path: Path
) -> None:
    fill(house)
    delete(house, "b")
    house.folders.catalog_snapshots.mkdir()
    (house.folders.catalog_snapshots / "catalog-20300101T000000.0Z.sqlite").write_text("torn")
    rows = lose(house)
    moved = Folders.at(tmp_path / "moved")
    moved.data.mkdir()
    for path in list(house.folders.data.iterdir()):
        if path != moved.data:
            path.rename(moved.data / path.name)
    report = rebuild(moved.data)
    assert report.snapshot is None
    assert counts(report, "metrics") == (10, 1, 3, 6)
    assert all_rows(moved.data) == rows
