"""What the command prints: nothing that a sender wrote moves the cursor or forges a line."""

import ast
import os
import pty
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import hoursight
from scripts.cli.output import NotForTerminal, print_grid, show_rows
from scripts.cli.printer import say, say_lines

ROOT = Path(__file__).parents[3]
HOSTILE = "web\x1b[2J\x9b1A\u202e\rok  writer\n"
ROWS = pa.table({"ser\x1bver": [HOSTILE], "list": [[HOSTILE]]})


def screen(show: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> str:
    """What arrives at a terminal."""
    ours, theirs = pty.openpty()
    try:
        with os.fdopen(theirs, "w", encoding="utf-8") as stdout:
            monkeypatch.setattr("sys.stdout", stdout)
            show()
        return os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)


def unsafe(shown: str) -> set[str]:
    """The unprintable characters; rich's own bold headings are allowed."""
    for own in ("\x1b[1m", "\x1b[0m", "\r\n", "\n"):
        shown = shown.replace(own, "")
    return {c for c in shown if not c.isprintable()}


def test_one_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    assert capsys.readouterr().out == "web\\x1b[2J\\x9b1A\\u202e\\rok  writer\\n\n"


def test_continued_lines_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    say_lines(f"hoursight: {HOSTILE}", err=True)
    assert capsys.readouterr().err == ("hoursight: web\\x1b[2J\\x9b1A\\u202e\n    | ok  writer\n")


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_rows_on_a_terminal_are_printable(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(lambda: show_rows(ROWS, form), monkeypatch)
    assert not unsafe(shown)
    assert "web" in shown


def test_a_table_in_a_pipe_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    print_grid([HOSTILE], [[HOSTILE], [{"a": HOSTILE}]])
    assert not unsafe(capsys.readouterr().out)


def test_csv_in_a_pipe_is_exact(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    show_rows(ROWS.select([0]), "csv")
    assert HOSTILE in capsysbinary.readouterr().out.decode()


def test_parquet_is_not_written_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotForTerminal, match="send it to a file"):
        screen(lambda: show_rows(ROWS, "parquet"), monkeypatch)


def test_a_plan_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(pa.table({"explain_key": ["plan"], "explain_value": ["┌─┐\n└─┘"]}), "table")
    assert capsys.readouterr().out == "┌─┐\n└─┘\n"


@pytest.mark.parametrize("arguments", [["sql", "select 1", "--data", f"/x{HOSTILE}"], [HOSTILE]])
def test_an_error_of_the_command_is_printable(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        hoursight.main(arguments)
    printed = capsys.readouterr()
    assert not unsafe(printed.out + printed.err)
    assert "\nok  writer" not in printed.err


def test_nothing_else_in_the_command_prints() -> None:
    """Ruff refuses it by name; this finds what writes to the streams themselves."""
    writers = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "scripts").rglob("*.py")
        if "tools" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("write", "writelines", "buffer")
        and ast.unparse(node.value).startswith(("sys.stdout", "sys.stderr"))
    }
    assert writers == {"scripts/cli/printer.py"}
