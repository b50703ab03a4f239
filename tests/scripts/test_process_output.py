import pytest

from scripts.process_output import LineSplitter


def lines_of(*chunks: bytes, most_bytes: int = 10) -> list[str]:
    splitter = LineSplitter(most_bytes)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return [*lines, *splitter.close()]


def test_lines_come_whole_however_they_are_cut_into_chunks() -> None:
    assert lines_of(b"on", b"e\ntwo\nth", b"ree\n") == ["one", "two", "three"]


def test_the_last_line_needs_no_line_feed() -> None:
    assert lines_of(b"one\ntwo") == ["one", "two"]
    assert lines_of() == []


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_long_line_is_cut_and_says_how_much_is_missing(size: int) -> None:
    text = b"a" * 1010 + b"\nnext\n"
    chunks = [text[i : i + size] for i in range(0, len(text), size)]
    assert lines_of(*chunks) == ["aaaaaaaaaa… (cut, 1,000 more bytes)", "next"]


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert lines_of(b"a\xffb\n") == ["a\ufffdb"]
