from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from storage.lake.lake_files import read_lake_files
from storage.lake.left_out_rows import load_left_out_rows
from storage.lake.surviving_rows import RowSelection
from storage.model.names import erased_name
from storage.model.schema import table
from tests.conftest import NOW
from tests.storage.lake.parquet_lakes import write_mask, write_rows

MINUTE = timedelta(minutes=1)
Connection = duckdb.DuckDBPyConnection


@pytest.fixture
def connection() -> Iterator[Connection]:
    with duckdb.connect() as connection:
        yield connection.execute("SET TimeZone = 'UTC'")


def sample(seconds: int) -> dict[str, Any]:
    return {"server": "web-1", "ts": NOW + timedelta(seconds=seconds)}


def deletion(ts: datetime) -> dict[str, Any]:
    return {"server": erased_name("web-1"), "ts": ts}


def log_of(ts: datetime, committed_at: datetime) -> dict[str, Any]:
    span = {"first_ts": ts, "last_ts": ts}
    about = {"batch_id": "x", "table_name": "deletions", "outcome": "committed"}
    return about | span | {"ts": committed_at}


def seconds_left(connection: Connection, files: Path) -> list[int]:
    """The seconds of the samples that are left."""
    lake = read_lake_files(files)
    load_left_out_rows(connection, files, lake, None)
    group = [f for f in lake.data if f.table == "metrics"]
    rows = RowSelection(connection, files).rows(table("metrics"), group)
    found = connection.execute(f"SELECT ts FROM ({rows}) ORDER BY ts").fetchall()
    return [round((ts - NOW).total_seconds()) for (ts,) in found]


@pytest.mark.parametrize("merged", [False, True])
def test_an_erased_server_stays_erased_and_what_it_sent_again_stays(
    tmp_path: Path, connection: Connection, merged: bool
) -> None:
    """Also once the deletion was merged: then the commit log says when it was."""
    write_rows(tmp_path, "metrics", NOW, [sample(0)])
    written = NOW + 9 * MINUTE if merged else NOW + MINUTE
    write_rows(tmp_path, "deletions", written, [deletion(NOW)], merged=merged)
    write_rows(tmp_path, "segments", NOW, [log_of(NOW, NOW + MINUTE)])
    write_rows(tmp_path, "metrics", NOW + 2 * MINUTE, [sample(5)])
    assert seconds_left(connection, tmp_path) == [5]


def test_a_mask_counts_for_an_erased_server_only(tmp_path: Path, connection: Connection) -> None:
    """Another mask may be of a transaction that was cut off before it wrote the new row."""
    name = write_rows(tmp_path, "metrics", NOW + MINUTE, [sample(0), sample(5)])
    write_mask(tmp_path, "metrics", NOW, name, [0])
    assert seconds_left(connection, tmp_path) == [0, 5]
    write_rows(tmp_path, "deletions", NOW, [deletion(NOW)])
    assert seconds_left(connection, tmp_path) == [5]


def test_a_deletion_that_was_logged_and_cut_off_is_not_in_the_log(
    tmp_path: Path, connection: Connection
) -> None:
    write_rows(tmp_path, "segments", NOW, [log_of(NOW, NOW), log_of(NOW + MINUTE, NOW)])
    write_rows(tmp_path, "deletions", NOW, [deletion(NOW)])
    load_left_out_rows(connection, tmp_path, read_lake_files(tmp_path), None)
    assert connection.execute("SELECT pos FROM masked").fetchall() == [(1,)]


def test_a_torn_mask_is_passed_over(tmp_path: Path, connection: Connection) -> None:
    write_rows(tmp_path, "metrics", NOW, [sample(0)])
    write_rows(tmp_path, "deletions", NOW - MINUTE, [deletion(NOW)])
    (tmp_path / "main" / "metrics" / "ducklake-x-delete.parquet").write_bytes(b"PAR1")
    assert seconds_left(connection, tmp_path) == [0]
