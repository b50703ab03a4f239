"""Foreign text, before it reaches a terminal, a log or a program that reads JSON."""

import json

import pytest

from storage.platform.printable import printable, printable_json, printable_lines

HOSTILE = {
    "a colour": "\x1b[31mred", "a window title": "\x1b]0;owned\x07", "C1 CSI": "\x9b2J",
    "a carriage return": "ok\rBAD", "a backspace": "a\b\bb", "a line separator": "a\u2028b",
    "a bidi override": "a\u202egpj", "a bidi isolate": "a\u2066b", "a zero width": "a\u200bb",
    "a byte order mark": "\ufeffa", "a soft hyphen": "a\u00adb", "a tag": "a\U000e0041b",
    "NUL": "a\0b", "DEL": "a\x7fb", "a lone surrogate": "a\udc9bb", "a line break": "a\nok b",
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_a_terminal_obeys_is_escaped(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


def test_what_prints_stays_as_it_is() -> None:
    text = "Zürich 東京 ✓ 60 % │ → C:\\logs"
    assert (printable(text), printable_lines(text), printable_json(text)) == (text, text, text)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_json_is_printable_and_means_the_same(text: str) -> None:
    shown = printable_json(json.dumps({"error": text}, ensure_ascii=False))
    assert shown.isprintable()
    assert json.loads(shown) == {"error": text}


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\x0b", "\x85", "\u2028"])
def test_a_continued_line_never_looks_like_a_line_of_its_own(line_break: str) -> None:
    assert printable_lines(f"failed{line_break}ok  writer") == "failed\n    | ok  writer"


def test_lines_have_no_tabs_and_no_control_characters() -> None:
    assert printable_lines("a\tb\n\x1b[2Jc") == "a   b\n    | \\x1b[2Jc"
    assert printable_lines("") == ""
