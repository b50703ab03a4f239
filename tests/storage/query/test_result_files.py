"""Rows of any type as files; every SQL type is tested in tests/scripts/cli/test_sql_types.py."""

import io
import json

import pyarrow as pa
from pyarrow import parquet

from storage.query.result_files import (
    arrow_bytes,
    csv_bytes,
    distinct,
    json_bytes,
    parquet_bytes,
    plain_rows,
)

INTERVAL = pa.array([(1, 2, 3), None], pa.month_day_nano_interval())
ROWS = pa.table([INTERVAL, pa.array(["=1+1\u202e\n", None])], names=["a", "a"])


def test_a_second_column_of_a_name_gets_a_number() -> None:
    assert distinct(["a", "b", "a", "a_1", "a"]) == ["a", "b", "a_1", "a_1_1", "a_2"]


def test_json_keeps_every_text_and_prints_only_what_prints() -> None:
    text = json_bytes(ROWS).decode()
    assert text.isprintable()
    assert json.loads(text) == [
        {"a": "1 months 2 days 00:00:00.000000003", "a_1": "=1+1\u202e\n"},
        {"a": None, "a_1": None},
    ]


def test_csv_is_not_calculated_by_a_spreadsheet() -> None:
    assert "\"'=1+1" in csv_bytes(ROWS).decode()
    assert "\\u202e" in csv_bytes(ROWS, for_terminal=True).decode()


def test_parquet_has_text_for_what_it_cannot_hold() -> None:
    table = parquet.read_table(io.BytesIO(parquet_bytes(ROWS)))
    assert table.column_names == ["a", "a_1"]
    assert table.column("a").type == pa.string()


def test_arrow_is_exact() -> None:
    assert pa.ipc.open_file(arrow_bytes(ROWS)).read_all() == ROWS


def test_plain_rows_are_lists() -> None:
    assert plain_rows(pa.table({"a": [1, None], "b": [[1], []]})) == [[1, [1]], [None, []]]
