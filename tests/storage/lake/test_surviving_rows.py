from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from storage.lake.lake_files import read_lake_files
from storage.lake.left_out_rows import load_left_out_rows
from storage.lake.surviving_rows import RowSelection, identity_columns
from storage.model.schema import table
from tests.conftest import NOW
from tests.storage.lake.parquet_lakes import write_rows

MINUTE = timedelta(minutes=1)
METRICS, EVENTS = table("metrics"), table("processes")
Connection = duckdb.DuckDBPyConnection


@pytest.fixture
def connection() -> Iterator[Connection]:
    with duckdb.connect() as connection:
        yield connection.execute("SET TimeZone = 'UTC'")


def row(server: str, **values: float) -> dict[str, Any]:
    return {"server": server, "ts": NOW} | values


def event(detail: str, pid: int | None = 1) -> dict[str, Any]:
    return {"process": "p", "ts": NOW, "event": "started", "pid": pid, "detail": detail}


def selection(connection: Connection, files: Path) -> RowSelection:
    load_left_out_rows(connection, files, read_lake_files(files), None)
    return RowSelection(connection, files)


def test_files_that_a_merge_has_replaced_count_once(tmp_path: Path, connection: Connection) -> None:
    for i, server in enumerate("ab"):
        write_rows(tmp_path, "metrics", NOW + i * MINUTE, [row(server, load_average=1.0)])
    both = [row(server, load_average=1.0) for server in "ab"]
    merged = write_rows(tmp_path, "metrics", NOW + 2 * MINUTE, both, merged=True)
    write_rows(tmp_path, "metrics", NOW + 3 * MINUTE, [row("c")])
    group = read_lake_files(tmp_path).data
    outcome = selection(connection, tmp_path).outcome(METRICS, group)
    assert [f.name for f in outcome.whole] == [merged, group[3].name]
    assert outcome.replaced == group[:2]
    assert outcome.rewritten == []


def test_a_row_that_was_completed_has_all_values(tmp_path: Path, connection: Connection) -> None:
    write_rows(tmp_path, "metrics", NOW, [row("a", load_average=1.0), row("b")])
    write_rows(tmp_path, "metrics", NOW + MINUTE, [row("a", load_average=2.0, mem_used_pct=5.0)])
    group = read_lake_files(tmp_path).data
    selected = selection(connection, tmp_path)
    assert selected.outcome(METRICS, group).rewritten == group
    columns = "server, load_average, mem_used_pct"
    rows = connection.execute(f"SELECT {columns} FROM ({selected.merged(METRICS, group)})")
    assert rows.fetchall() == [("a", 2.0, 5.0), ("b", None, None)]


def test_events_without_a_key_stay_apart_and_count_once(
    tmp_path: Path, connection: Connection
) -> None:
    """The text of the first was rewritten; the others are two of one file, and one without pid."""
    write_rows(tmp_path, "processes", NOW, [event("web-1 ended"), event("x", None)])
    write_rows(tmp_path, "processes", NOW + MINUTE, [event("deleted-1 ended"), event("again")])
    group = read_lake_files(tmp_path).data
    selected = selection(connection, tmp_path)
    rows = connection.execute(f"SELECT detail FROM ({selected.merged(EVENTS, group)})").fetchall()
    assert sorted(detail for (detail,) in rows) == ["again", "deleted-1 ended", "x"]


def test_rows_are_told_apart_by_their_key_or_what_an_erasure_leaves() -> None:
    assert identity_columns(METRICS) == ("server", "ts")
    assert identity_columns(EVENTS) == ("process", "ts", "event", "pid")
    assert identity_columns(table("deletions")) == ("server", "ts")
