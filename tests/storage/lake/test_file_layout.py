from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from storage.config.folders import Folders
from storage.lake.attach import attach_writer
from storage.lake.file_layout import lay_out
from storage.model.schema import STOCK, table
from tests.conftest import NOW, LakeFixture

ORDER = """
SELECT list(trim(expression, '"') ORDER BY sort_key_index)
FROM __ducklake_metadata_lake.ducklake_table AS tables
JOIN __ducklake_metadata_lake.ducklake_sort_info AS sorts USING (table_id)
JOIN __ducklake_metadata_lake.ducklake_sort_expression USING (sort_id, table_id)
WHERE table_name = 'forecasts' AND sorts.end_snapshot IS NULL
"""
GROUP = "SELECT value FROM ducklake_options('lake') WHERE option_name = 'parquet_row_group_size'"
WANTED = (list(table("forecasts").order), str(table("forecasts").rows_per_group))


@contextmanager
def lake(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(attach_writer(Folders.at(folder).create())) as connection:
        yield connection


def layout(connection: duckdb.DuckDBPyConnection) -> tuple[Any, ...]:
    rows = connection.execute(f"SELECT ({ORDER}), ({GROUP})").fetchall()
    return tuple(rows[0])


def test_a_lake_of_an_earlier_release_gets_it(tmp_path: Path) -> None:
    with lake(tmp_path) as connection:
        connection.execute("ALTER TABLE forecasts SET SORTED BY (server, metric, issued_at)")
        connection.execute(
            "CALL lake.set_option('parquet_row_group_size', '122880', table_name => 'forecasts')"
        )
    with lake(tmp_path) as connection:
        assert layout(connection) == WANTED


def test_a_new_lake_has_the_layout_of_the_schema_and_is_left_alone(tmp_path: Path) -> None:
    newest = "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')"
    with lake(tmp_path) as connection:
        assert layout(connection) == WANTED
        before = connection.execute(newest).fetchall()
        lay_out(connection, STOCK)
        assert connection.execute(newest).fetchall() == before


@pytest.fixture
def merged(house: LakeFixture) -> pq.FileMetaData:
    """The metadata of a merged file of forecasts: 2 issues of 100 servers and 14 metrics."""
    for i in range(2):
        issued = NOW - timedelta(hours=2 - i)
        house.put("forecasts", [
            {"server": f"s{k // 14:03d}", "metric": f"m{k % 14:02d}", "issued_at": issued,
             "made_at": issued, "state": "ok"}
            for k in range(1400)
        ])  # fmt: skip
        house.commit()
    house.writer.merge("forecasts")
    files = house.folders.lake.rglob("forecasts/**/*.parquet")
    (whole,) = (m for m in (pq.ParquetFile(f).metadata for f in files) if m.num_rows == 2800)
    return whole


def test_a_merged_file_is_sorted_by_issue_in_small_row_groups(merged: pq.FileMetaData) -> None:
    groups = [merged.row_group(i) for i in range(merged.num_row_groups)]
    issues = [group.column(2).statistics for group in groups]
    assert [group.num_rows for group in groups] == [2048, 752]
    assert (issues[0].max, issues[1].min) == (issues[1].max, issues[1].max)
