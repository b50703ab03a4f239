"""Files in chunks: every form, what is left out of them, and what cannot be read."""

import io
import json
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.normalize import file_readers
from functions.normalize.columns import as_list, columns_of
from functions.normalize.file_readers import (
    FileUnreadable,
    count_rows,
    grows_by_lines,
    read_chunks,
    read_header,
    read_lines,
)

ROWS: list[dict[str, Any]] = [{"server": f"s{i}", "load": i / 2} for i in range(10)]


def write(path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS))
    elif path.suffix == ".csv":
        lines = [f"{row['server']},{row['load']}" for row in ROWS]
        path.write_text("\n".join(["server,load", *lines]) + "\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def servers(path: Path, **options: Any) -> list[list[str]]:
    chunks = read_chunks(path, **options)
    return [as_list(columns_of(chunk.documents).get("server")) for chunk in chunks]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".ndjson", ".json", ".parquet", ".CSV"])
def test_every_form_is_read_in_order_in_bounded_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(file_readers, "CHUNK_ROWS", 4)
    path = write(tmp_path / f"h{ending.lower()}").rename(tmp_path / f"h{ending}")
    chunks = servers(path)
    assert [len(chunk) for chunk in chunks] == [4, 4, 2]
    assert list(chain.from_iterable(chunks)) == [row["server"] for row in ROWS]


def test_a_file_that_begins_as_parquet_does_is_read_as_parquet(tmp_path: Path) -> None:
    path = write(tmp_path / "h.parquet").rename(tmp_path / "h")
    assert len(servers(path)[0]) == 10


def test_another_ending_can_be_read_as_csv(tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv").rename(tmp_path / "h.txt")
    with pytest.raises(FileUnreadable, match=r"'\.txt': write \.csv"):
        servers(path)
    assert len(servers(path, ending=".csv")[0]) == 10


def test_lines_with_other_columns_are_left_out_and_the_first_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    path.write_text("server,load\na,1\nb\nc,3,4\nd,5\n")
    [chunk] = read_chunks(path)
    assert as_list(columns_of(chunk.documents).get("server")) == ["a", "d"]
    assert (chunk.refused, chunk.why) == (2, "1 columns instead of 2: 'b'")
    assert chunk.fields == ("server", "load")


def test_a_file_of_nothing_but_wrong_lines_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    path.write_text("server,load\na\nb\n")
    assert sum(chunk.refused for chunk in read_chunks(path)) == 2


def test_values_of_csv_stay_text_whatever_the_first_block_looks_like(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    path.write_text("server;load\n007;1\na;NULL\nb;\n")
    [chunk] = read_chunks(path, ";")
    assert pa.table(chunk.documents).to_pylist() == [
        {"server": "007", "load": "1"},
        {"server": "a", "load": None},
        {"server": "b", "load": None},
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("h.csv", b"", "its first line must name the columns"),
        ("h.csv", b"a,a\n1,2\n", "a column comes twice"),
        ("h.csv", b"a,b\n\xff,2\n", "UTF"),
        ("h.parquet", b"PAR1 and no more", "arquet"),
        ("h.json", b"[1", "not a list of JSON documents"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileUnreadable, match=says):
        list(read_chunks(path))


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_rows_are_counted_roughly_without_reading_them(tmp_path: Path, ending: str) -> None:
    assert count_rows(write(tmp_path / f"h{ending}")) in (10, 11)


@pytest.mark.parametrize(
    ("start", "ending", "expected"),
    [
        (b"ts,server\n", ".csv", True),
        (b"[a],b\n", ".csv", True),
        (b'{"ts": 1}\n', ".json", True),
        (b"", ".jsonl", True),
        (b'[{"ts": 1}]', ".json", False),
        (b'\xef\xbb\xbf\n [{"ts": 1}]', ".jsonl", False),
        (b"\xff\xfet\x00s\x00", ".csv", False),
        (b"PAR1", ".csv", False),
        (b"ts,server\n", ".parquet", False),
        (b"ts,server\n", ".xlsx", False),
    ],
)
def test_csv_and_json_lines_can_be_read_while_they_grow(
    start: bytes, ending: str, expected: bool
) -> None:
    assert grows_by_lines(start, ending) is expected


def test_lines_of_a_csv_file_are_read_by_its_header() -> None:
    chunk = read_lines(b"a,1\nb,2,3\nc,4\n", ".csv", header=b"server,load\n")
    assert as_list(columns_of(chunk.documents).get("load")) == ["1", "4"]
    assert (chunk.refused, "3 columns instead of 2" in chunk.why) == (1, True)


def test_lines_of_json_are_numbered_after_those_before() -> None:
    chunk = read_lines(b'{"n": 1}\n{\n', ".jsonl", before=10)
    assert chunk.documents == [{"n": 1}]
    assert chunk.why.startswith("line 12 is not JSON")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_header_ends_with_its_line(end: bytes) -> None:
    header = read_header(io.BytesIO(b"server,load" + end + b"a,1" + end))
    assert header == (len(b"server,load" + end), ["server", "load"])
