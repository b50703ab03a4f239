"""Files in chunks: every form, what is left out of them, and what cannot be read."""

import json
import math
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.normalize import file_readers
from functions.normalize.columns import as_list, columns_of
from functions.normalize.file_readers import FileForm, FileUnreadable, count_rows, read_chunks

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
    assert (chunk.refused, chunk.why) == (2, "line 3: 1 columns instead of 2: 'b'")
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
        ("h.csv", "a,b\n1,2\n".encode("utf-16-le"), "write encoding = 'utf-16-le'"),
        ("h.csv", b"\xff\xfea\x00,\x00b", "it is not utf-16"),
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


def read(path: Path, content: bytes, **options: Any) -> tuple[list[dict[str, Any]], int, str]:
    path.write_bytes(content)
    chunks = list(read_chunks(path, form=FileForm(**options)))
    documents = [each.documents for each in chunks]
    tables = [d.to_pylist() if isinstance(d, pa.Table) else d for d in documents]
    records = list(chain.from_iterable(tables))
    whys = [each.why for each in chunks if each.why]
    return records, sum(each.refused for each in chunks), whys[0] if whys else ""


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("server,load\na,1\n", "utf-8-sig"),
        ("server,load\na,1\n", "utf-16"),
        ("sep=;\nserver;load\na;1\n", "utf-8"),
        ("\n\nserver\tload\na\t1\n", "utf-8"),
        ("# of May\nserver|load\n# 6 May\na|1\n", "utf-8"),
    ],
)
def test_the_dialects_of_csv_give_the_same_rows(tmp_path: Path, text: str, encoding: str) -> None:
    rows = read(tmp_path / "h.csv", text.encode(encoding))
    assert rows == ([{"server": "a", "load": "1"}], 0, "")


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf{"server": "a", "load": 1}\n',
        b'\xef\xbb\xbf[{"server": "a", "load": 1}]',
        b'\n \n [{"server": "a",\n "load": 1}]',
        b'{\n "server": "a",\n "load": 1\n}\n',
        '{"server": "a", "load": 1}\n'.encode("utf-16"),
    ],
    ids=["marked lines", "marked list", "blank lines", "one document", "UTF-16"],
)
def test_json_is_read_with_a_mark_blank_lines_or_over_several_lines(
    tmp_path: Path, content: bytes
) -> None:
    assert read(tmp_path / "h.json", content) == ([{"server": "a", "load": 1}], 0, "")


@pytest.mark.parametrize(
    "form", ['{{"s": "a", "x": {x}}}\n{{"s": "b"}}\n', '[{{"s": "a", "x": {x}}},{{"s": "b"}}]']
)
def test_nan_in_json_is_a_value_of_its_record_alone(tmp_path: Path, form: str) -> None:
    records, refused, _ = read(tmp_path / "h.json", form.format(x="NaN").encode())
    assert [record["s"] for record in records] == ["a", "b"]
    assert math.isnan(records[0]["x"])
    assert refused == 0


def test_elements_of_a_list_that_are_no_objects_are_counted(tmp_path: Path) -> None:
    records, refused, why = read(tmp_path / "h.json", b'[{"s": "a"}, 7, {"s": "b"}]')
    assert (len(records), refused) == (2, 1)
    assert why == "element 2 of the list is not a JSON object"


def test_rows_of_another_width_are_counted_with_their_lines_also_where_none_is_good(
    tmp_path: Path,
) -> None:
    records, refused, why = read(tmp_path / "h.csv", b"\nserver,load\na,1,x\nb,2,y\n")
    assert (records, refused) == ([], 2)
    assert why == "line 3: 3 columns instead of 2: 'a,1,x'"


def test_the_sections_of_sadf_are_tables_of_their_own(tmp_path: Path) -> None:
    text = (
        b"h;-1;2026-05-06 12:00:00 UTC;LINUX-RESTART\t(2 CPU)\n"
        b"# hostname;interval;timestamp;CPU;%user\nh;1;2026-05-06 12:00:01 UTC;-1;3\n"
        b"h;-1;2026-05-06 12:00:02 UTC;LINUX-RESTART\t(2 CPU)\n"
        b"# hostname;interval;timestamp;ldavg-1\nh;1;2026-05-06 12:00:01 UTC;0.5\n"
    )
    records, refused, why = read(tmp_path / "h.csv", text)
    assert [record.get("%user") or record.get("ldavg-1") for record in records] == ["3", "0.5"]
    assert (refused, why[:30]) == (2, "line 1 comes before the header")


def test_a_latin_1_row_is_refused_alone_and_read_with_the_setting(tmp_path: Path) -> None:
    content = "server,ort\na,Köln\nb,Bonn\n".encode("latin-1")
    records, refused, why = read(tmp_path / "h.csv", content)
    assert (records, refused) == ([{"server": "b", "ort": "Bonn"}], 1)
    assert "line 2 is not UTF-8" in why
    stated = read(tmp_path / "h.csv", content, encoding="latin-1")
    assert [record["ort"] for record in stated[0]] == ["Köln", "Bonn"]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_wide_file_has_fewer_rows_a_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(file_readers, "CHUNK_CELLS", 6)  # of two columns
    assert [len(chunk) for chunk in servers(write(tmp_path / f"h{ending}"))] == [3, 3, 3, 1]


def test_long_lines_of_json_make_chunks_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_readers, "CHUNK_BYTES", 100)
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"a": "{"x" * 90}"}}\n' * 5 + '{"a": 1}\n' * 30)
    chunks = list(read_chunks(path))
    assert sum(len(chunk.documents) for chunk in chunks) == 35
    assert max(len(chunk.documents) for chunk in chunks) < 13


def test_a_small_list_of_many_values_is_refused_before_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_readers, "MAX_DECODED_BYTES", 1 << 20)
    path = tmp_path / "a.json"
    path.write_text("[" + "[]," * 10_000 + "{}]")
    with pytest.raises(FileUnreadable, match="write one document a line"):
        list(read_chunks(path))
