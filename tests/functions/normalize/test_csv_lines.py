"""Rows of a CSV file without its comments, section by section."""

import io

import pytest

from functions.normalize import csv_lines
from functions.normalize.csv_header import FileForm, FileUnreadable
from functions.normalize.csv_lines import CsvLines


def sections(text: bytes) -> tuple[list[tuple[tuple[str, ...], bytes]], list[str]]:
    refused: list[str] = []
    lines = CsvLines(io.BytesIO(text), FileForm(), refused)
    read = []
    while lines.next_section():
        read.append((lines.header.names, b"".join(iter(lines.read, b""))))
    return read, refused


def test_rows_are_passed_on_without_the_header_comments_and_blank_lines() -> None:
    read, refused = sections(b"# by x\r\nts,host\r\n\r\n1,a\r\n# later\r\n2,b")
    assert read == [(("ts", "host"), b"1,a\r\n2,b")]
    assert refused == []


def test_a_row_that_begins_with_a_hash_is_a_row() -> None:
    assert sections(b"host,load\n#1,2\n# two\n")[0] == [(("host", "load"), b"#1,2\n")]


def test_a_marked_header_begins_a_section() -> None:
    text = b"# host;ts;cpu\na;1;5\nb;1;6\n# host;ts;mem;swap\na;1;7;8\n"
    assert sections(text)[0] == [
        (("# host", "ts", "cpu"), b"a;1;5\nb;1;6\n"),
        (("# host", "ts", "mem", "swap"), b"a;1;7;8\n"),
    ]


def test_a_comment_below_a_marked_header_begins_no_section() -> None:
    text = b"# host;ts\na;1\n# a note; of three; parts\n"
    assert sections(text + b"a;2\n")[0] == [(("# host", "ts"), b"a;1\na;2\n")]


def test_a_header_without_rows_at_the_end_is_no_mistake_and_a_row_of_another_width_is_counted() -> (
    None
):
    text = b"# host;ts\na;1\n# host;ts;mem\n"
    assert sections(text) == ([(("# host", "ts"), b"a;1\n")], [])
    read, refused = sections(text + b"a;RESTART\n")
    assert read == [(("# host", "ts"), b"a;1\n")]
    assert refused == ["line 4 has other columns than the header before it: 'a;RESTART'"]


def test_annotations_begin_a_section() -> None:
    block = b"#group,false\n#datatype,long,double\n#default,,\n,%s\n,%d\n\n"
    read = sections(block % (b"time", 1) + block % (b"host", 2))[0]
    assert read == [(("", "time"), b",1\n"), (("", "host"), b",2\n")]


def test_a_line_that_is_not_utf_8_is_left_out_with_its_number_and_the_setting() -> None:
    read, refused = sections("ts,ort\n1,Köln\n2,Bonn\n".encode("latin-1"))
    assert read == [(("ts", "ort"), b"2,Bonn\n")]
    [why] = refused
    assert "line 2 is not UTF-8 (byte 0xf6): write encoding = 'latin-1'" in why


def test_a_header_that_is_not_utf_8_is_refused_with_the_setting() -> None:
    with pytest.raises(
        FileUnreadable, match=r"the header is not UTF-8 .byte 0xf6.: write encoding"
    ):
        sections("ts,größe\n1,2\n".encode("latin-1"))


def test_numbers_of_lines_are_those_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_lines, "BLOCK_BYTES", 16)
    text = b"\nts,host\n1,a\n\n# x\n2,b\n3,c\n\n4,d\n"
    lines = CsvLines(io.BytesIO(text), FileForm(), [])
    assert lines.next_section()
    assert b"".join(iter(lines.read, b"")) == b"1,a\n2,b\n3,c\n4,d\n"
    assert [lines.line_of(row) for row in (1, 2, 3, 4)] == [3, 6, 7, 9]


def test_a_line_longer_than_a_block_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_lines, "BLOCK_BYTES", 16)
    with pytest.raises(FileUnreadable, match="line 2 is longer than"):
        sections(b"ts,host\n1," + b"a" * 40 + b"\n")


def test_many_small_sections_are_read_one_after_the_other() -> None:
    text = b"# host;time\na;1\n" * 300 + b"b;2\n" * 20_000
    rows = [rows for _, rows in sections(text)[0]]
    assert rows[:-1] == [b"a;1\n"] * 299
    assert rows[-1] == b"a;1\n" + b"b;2\n" * 20_000


def test_reasons_of_a_chunk_are_kept_up_to_a_number_and_counted_beyond_it() -> None:
    refused: list[str] = []
    lines = CsvLines(io.BytesIO(b"a,b\n" + b"\xff\n" * 5000 + b"1,2\n"), FileForm(), refused)
    assert lines.next_section()
    assert lines.read() == b"1,2\n"
    assert len(refused) == 5000
    assert len(set(refused)) == csv_lines.MAX_REASONS + 1
