"""Exports: JSON, CSV and Parquet of one table."""

import io
from datetime import UTC, datetime

import msgspec
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from storage.model.severity import AlertLevel
from web.display.exports import FORMATS, encode_json, export_response, paths

ROWS = pa.table(
    {
        "server": ["a", "b"],
        "ts": pa.array([datetime(2026, 3, 1, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
        "reasons": [[{"points": 1}], None],
    }
)


def test_a_page_has_an_export_in_each_format() -> None:
    assert paths("/fleet") == ["/fleet.json", "/fleet.csv", "/fleet.parquet", "/fleet.arrow"]


def test_json_has_iso_times_and_nested_values() -> None:
    first, second = msgspec.json.decode(export_response(ROWS, "json", "fleet").content)
    assert first == {"server": "a", "ts": "2026-03-01T00:00:00Z", "reasons": [{"points": 1}]}
    assert second["ts"] is None


def test_csv_has_nested_values_as_json_text() -> None:
    rows = csv.read_csv(io.BytesIO(export_response(ROWS, "csv", "fleet").content))
    assert rows["reasons"].to_pylist() == ['[{"points":1}]', "null"]


def test_parquet_keeps_types() -> None:
    rows = parquet.read_table(io.BytesIO(export_response(ROWS, "parquet", "fleet").content))
    assert rows.schema == ROWS.schema


def test_arrow_is_a_file_of_the_same_rows() -> None:
    content = export_response(ROWS, "arrow", "fleet").content
    assert pa.ipc.open_file(content).read_all() == ROWS


@pytest.mark.parametrize("extension", FORMATS)
def test_an_export_is_not_cached_and_has_its_media_type(extension: str) -> None:
    answer = export_response(ROWS, extension, "fleet")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.media_type == FORMATS[extension][1]


def test_a_file_name_has_no_character_that_a_header_or_a_shell_could_misread() -> None:
    answer = export_response(ROWS, "csv", 'a/b"\r\n.shop')
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a_b___.shop.csv"'
    assert "Content-Disposition" not in export_response(ROWS, "json", "a").headers


def test_a_dataclass_with_a_level_is_encoded_by_its_value() -> None:
    assert encode_json({"level": AlertLevel.CRITICAL}) == b'{"level":"critical"}'


def test_csv_is_not_calculated_by_a_spreadsheet() -> None:
    rows = pa.table({"server": ["=1+1", "web-1"], "x": [-1.5, 2.0]})
    text = export_response(rows, "csv", "fleet").content.decode()
    assert text.splitlines()[1:] == ['"\'=1+1",-1.5', '"web-1",2']


def test_json_has_no_character_that_a_terminal_obeys() -> None:
    text = encode_json({"error": "a\x9b2J\u202e\x7f"})
    assert text == b'{"error":"a\\u009b2J\\u202e\\u007f"}'
