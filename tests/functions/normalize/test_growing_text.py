"""Text files that grow: which can be read line by line, and lines below a known header."""

import pytest

from functions.normalize.columns import as_list, columns_of
from functions.normalize.csv_header import FileForm, FileUnreadable
from functions.normalize.growing_text import grows_by_lines, header_of, read_lines

PLAIN = FileForm()


@pytest.mark.parametrize(
    ("start", "ending", "grows"),
    [
        (b"ts,server\n", ".csv", True),
        (b"\xef\xbb\xbfts\tserver\n1", ".tsv", True),
        (b"\n# of May\nts;server\n1;a\n", ".csv", True),
        (b"sep=;\nts;server\n", ".csv", True),
        (b"ts,ser", ".csv", False),
        (b"ts\n", ".csv", False),
        (b"# host;ts;load\na;1;2\n", ".csv", False),
        (b"#group,false,false\n,result,_time\n", ".csv", False),
        (b"Label,a\nTime,b\n1,2\n", ".csv", False),
        (b"\xff\xfet\x00s\x00,\x00a\x00\n\x00", ".csv", False),
        (b"PAR1,a\n", ".csv", False),
        (b"ts,server\n", ".parquet", False),
        (b"ts,server\n", ".xlsx", False),
        (b'{"ts": 1}\n', ".json", True),
        (b'\xef\xbb\xbf\n{"ts": 1}\n{', ".jsonl", True),
        (b'ut off\n{"ts": 1}\n', ".jsonl", True),
        (b'{"ts": 1}', ".jsonl", False),
        (b'{\n"list": [\n{"ts": 1}\n', ".json", False),
        (b'\n[{"ts": 1}]\n', ".jsonl", False),
        (b"", ".jsonl", False),
    ],
)
def test_a_file_grows_by_lines_when_its_start_says_so(
    start: bytes, ending: str, grows: bool
) -> None:
    assert grows_by_lines(start, ending, PLAIN) is grows


@pytest.mark.parametrize(("encoding", "grows"), [("latin-1", True), ("utf-16-le", False)])
def test_a_line_must_end_with_one_byte(encoding: str, grows: bool) -> None:
    start = "ts,größe\n1,2\n".encode(encoding)
    assert grows_by_lines(start, ".csv", FileForm(encoding=encoding)) is grows


@pytest.mark.parametrize(
    "head",
    ["ts,load\n", "ts,load\r\n", "\n# x\nts,load\n", "sep=,\nts,load\n", "\ufeffts,load\n"],
)
def test_the_size_of_a_header_ends_with_its_line(head: str) -> None:
    header = header_of((head + "1,2\n").encode(), PLAIN)
    assert (header.size, header.names) == (len(head.encode()), ("ts", "load"))


def test_lines_of_csv_are_read_by_a_header_and_numbered_as_in_their_file() -> None:
    header = header_of(b"server,load\n", PLAIN).header
    chunk = read_lines(b"a,1\n\n# x\nb,2,3\nc,4\n", PLAIN, header, 100)
    assert as_list(columns_of(chunk.documents).get("load")) == ["1", "4"]
    assert (chunk.refused, chunk.why[:29]) == (1, "line 104: 3 columns instead o")


def test_lines_of_json_are_numbered_as_in_their_file() -> None:
    chunk = read_lines(b'{"n": 1}\n{\n', PLAIN, before=10)
    assert chunk.documents == [{"n": 1}]
    assert chunk.why.startswith("line 12 is not JSON")


def test_lines_that_do_not_fit_the_encoding_are_refused() -> None:
    header = header_of(b"server,load\n", PLAIN).header
    assert read_lines("ü,1\n".encode("latin-1"), PLAIN, header, 1).refused == 1
    with pytest.raises(FileUnreadable, match="ascii"):
        read_lines("ü,1\n".encode(), FileForm(encoding="ascii"), header, 1)
