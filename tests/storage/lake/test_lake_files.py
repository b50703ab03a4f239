import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from storage.lake.lake_files import evidence_of, read_lake_files
from tests.conftest import NOW
from tests.storage.lake.parquet_lakes import write_mask, write_rows

EVENT = {"process": "p", "ts": NOW, "event": "started"}


def test_files_are_listed_oldest_first_by_the_time_in_their_name(tmp_path: Path) -> None:
    later = write_rows(tmp_path, "processes", NOW, [EVENT, EVENT], merged=True)
    first = write_rows(tmp_path, "processes", NOW - timedelta(hours=1), [EVENT])
    write_mask(tmp_path, "processes", NOW, first, [0])
    (tmp_path / "main" / "processes" / "torn.parquet").write_bytes(b"PAR1")
    lake = read_lake_files(tmp_path)
    assert [f.name for f in lake.data] == [first, later]
    assert [(f.rows, f.merged, f.created) for f in lake.data] == [
        (1, False, NOW - timedelta(hours=1)), (2, True, NOW)
    ]  # fmt: skip
    assert set(lake.data[1].columns) == {"process", "ts", "event", "pid", "detail"}
    assert [Path(path).name for path, _ in lake.unreadable] == ["torn.parquet"]
    assert len(lake.masks) == 1


def test_a_snapshot_without_a_lake_is_no_evidence(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "c.sqlite")) as other:
        other.execute("CREATE TABLE notes (text)")
    with pytest.raises(sqlite3.Error, match="no such table"):
        evidence_of(tmp_path / "c.sqlite", NOW)
