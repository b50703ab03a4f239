"""How the command ends: exit codes, messages, tracebacks."""

import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

import hoursight
from scripts.cli import cli
from storage.errors import HoursightError


@pytest.fixture
def raising() -> Iterator[None]:
    """A command that raises the error whose name it is given."""
    errors = {
        "ours": HoursightError("the disk is full", "make room"),
        "unforeseen": ZeroDivisionError("unforeseen"),
        "interrupt": KeyboardInterrupt(),
        "abort": click.Abort(),
    }

    @cli.command("raise-for-test")
    @click.argument("kind")
    def command(kind: str) -> None:
        raise errors[kind]

    yield
    del cli.commands["raise-for-test"]


def exit_code(*arguments: str) -> int:
    try:
        hoursight.main(list(arguments))
    except SystemExit as leave:
        return int(leave.code or 0)
    return 0


@pytest.mark.usefixtures("raising")
def test_an_error_of_ours_is_one_line_with_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("raise-for-test", "ours") == 1
    assert capsys.readouterr().err == "hoursight: the disk is full: make room\n"


@pytest.mark.usefixtures("raising")
def test_an_unforeseen_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError, match="unforeseen"):
        hoursight.main(["raise-for-test", "unforeseen"])


@pytest.mark.usefixtures("raising")
@pytest.mark.parametrize("kind", ["interrupt", "abort"])
def test_an_interrupt_is_exit_code_130(kind: str) -> None:
    assert exit_code("raise-for-test", kind) == 130


def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("no-such-command") == 2
    assert "No such command 'no-such-command'" in capsys.readouterr().err


def test_help_and_version_are_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert hoursight.__version__ in capsys.readouterr().out


CLOSED = """
import os, sys
import hoursight
os.closerange(0, 3)
hoursight.main(["--version"])
os.write(int(sys.argv[1]), str(os.open(os.devnull, os.O_RDONLY)).encode())
"""


def test_no_file_gets_the_number_of_a_closed_standard_stream() -> None:
    read, write = os.pipe()
    subprocess.run([sys.executable, "-c", CLOSED, str(write)], pass_fds=[write], check=False)
    os.close(write)
    with open(read) as answer:
        assert int(answer.read()) > 2
