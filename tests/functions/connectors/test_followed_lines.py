"""Lines of files that grow: complete lines only, headers, and files that were replaced."""

import io
from pathlib import Path
from typing import Any

import pytest

from functions.connectors.followed_lines import (
    HeaderMemory,
    LineCursor,
    LineReader,
    check_time_column,
)
from functions.connectors.real_folder import RealFolder
from functions.normalize import file_readers
from functions.normalize.columns import as_list, columns_of
from functions.normalize.csv_header import FileForm, FileUnreadable

HEADER = b"ts,server,load\n"
PLAIN = FileForm()


def reader(folder: Path, form: FileForm = PLAIN) -> LineReader:
    return LineReader(HeaderMemory(RealFolder(folder), form), ("ts", "time.at"), form)


def loads(
    lines: LineReader, data: bytes, cursor: LineCursor, *, last: bool = False
) -> tuple[list[Any], LineCursor]:
    """The values of `load` after the cursor, and the cursor after them."""
    values: list[Any] = []
    if not cursor.offset and not lines.follows(cursor.name, data):
        return values, cursor
    while part := lines.next_part(io.BytesIO(data), cursor, last=last):
        column = columns_of(part.chunk.documents).get("load")
        values += as_list(column) if column is not None else []
        cursor = part.cursor
    return values, cursor


def test_lines_are_read_once_as_they_become_complete(tmp_path: Path) -> None:
    lines, cursor, values = reader(tmp_path), LineCursor("a.csv", 1), []
    data = HEADER + b"1,a,10\n2,a,20\n3,a,30\n"
    for size in range(len(data) + 1):  # a writer that flushes after every byte
        more, cursor = loads(lines, data[:size], cursor)
        values += more
    assert values == ["10", "20", "30"]
    assert (cursor.offset, cursor.lines) == (len(data), 4)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_the_end_of_a_complete_file_ends_a_line(tmp_path: Path, end: bytes) -> None:
    lines, middle = reader(tmp_path), end or b"\n"
    data = middle.join([b"ts,load", b"1,10", b"2,20"]) + end
    values, cursor = loads(lines, data, LineCursor("a.csv", 1), last=True)
    assert values == ["10", "20"]
    assert cursor.offset == len(data)


def test_a_part_has_at_most_a_chunk_of_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_readers, "CHUNK_ROWS", 2)
    lines, data = reader(tmp_path), HEADER + b"1,a,10\n2,a,20\n3,a,30\n"
    part = lines.next_part(io.BytesIO(data), LineCursor("a.csv", 1), last=False)
    assert part is not None
    assert len(part.chunk.documents) == 2
    assert loads(lines, data, part.cursor)[0] == ["30"]


def test_a_line_of_a_later_part_is_named_by_its_number_in_the_file(tmp_path: Path) -> None:
    lines, first = reader(tmp_path), b'{"ts": 1, "load": 1}\n{"ts": 2, "load": 2}\n'
    cursor = loads(lines, first, LineCursor("a.jsonl", 1))[1]
    part = lines.next_part(io.BytesIO(first + b"[3\n"), cursor, last=False)
    assert part is not None
    assert part.chunk.refused == 1
    assert part.chunk.why.startswith("line 3 is not JSON")


@pytest.mark.parametrize(
    ("data", "same"),
    [
        (HEADER + b"1,a,10\n2,a,20\n", True),
        (HEADER + b"1,a,10\n", True),
        (HEADER + b"1,a,11\n", False),
        (HEADER + b"1,a,\n", False),
        (b"", False),
    ],
)
def test_a_file_that_was_cut_or_replaced_is_known_by_its_bytes(
    tmp_path: Path, data: bytes, same: bool
) -> None:
    cursor = loads(reader(tmp_path), HEADER + b"1,a,10\n", LineCursor("a.csv", 1))[1]
    assert cursor.continues_in(io.BytesIO(data)) is same


@pytest.mark.parametrize("earlier", ["done/a.csv", "a.csv.1", "done/a.csv.1"])
def test_a_file_without_a_header_has_that_of_an_earlier_file_of_its_name(
    tmp_path: Path, earlier: str
) -> None:
    (tmp_path / "done").mkdir()
    (tmp_path / earlier).write_bytes(HEADER + b"1,a,10\n")
    data = b"2,a,20\n3,a,20\n"
    part = reader(tmp_path).next_part(io.BytesIO(data), LineCursor("a.csv", 1), last=False)
    assert part is not None
    assert as_list(columns_of(part.chunk.documents).get("load")) == ["20", "20"]
    assert part.notes == ("a.csv has no header: it is read with that of the earlier a.csv",)
    assert loads(reader(tmp_path), data + b"4,a,40\n", part.cursor)[0] == ["40"]


def test_a_header_is_remembered_when_its_file_is_cut(tmp_path: Path) -> None:
    lines = reader(tmp_path)
    loads(lines, HEADER + b"1,a,10\n", LineCursor("a.csv", 1))
    assert loads(lines, b"2,b,20\n", LineCursor("a.csv", 2))[0] == ["20"]


def test_lines_of_another_encoding_and_delimiter_are_read(tmp_path: Path) -> None:
    lines = reader(tmp_path, FileForm(";", "latin-1"))
    data = "ts;größe;load\n1;ü;10\n".encode("latin-1")
    cursor = loads(lines, data, LineCursor("a.csv", 1))[1]
    part = lines.next_part(io.BytesIO(data + "2;ö;20\n".encode("latin-1")), cursor, last=False)
    assert part is not None
    assert as_list(columns_of(part.chunk.documents).get("größe")) == ["ö"]


def test_a_first_line_with_equal_values_is_not_taken_for_a_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv.1").write_bytes(HEADER + b"1,a,10\n")
    assert loads(reader(tmp_path), b"5,5,5\n6,a,7\n", LineCursor("a.csv", 1))[0] == ["5", "7"]


@pytest.mark.parametrize("earlier", [b"", b"ts,load\n", b"server,load,other\n"])
def test_a_file_without_a_known_header_is_refused_with_the_remedy(
    tmp_path: Path, earlier: bytes
) -> None:
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "a.csv").write_bytes(earlier)
    with pytest.raises(FileUnreadable, match=r"no time column .*write that one's header first"):
        loads(reader(tmp_path), b"2,a,20\n", LineCursor("a.csv", 1), last=True)


def test_a_time_may_be_a_part_of_a_field() -> None:
    check_time_column(("load", "time"), ("ts", "time.at"))
    check_time_column((), ("ts",))
    with pytest.raises(FileUnreadable, match=r"expected ts or time\.at, columns are load"):
        check_time_column(("load",), ("ts", "time.at"))
