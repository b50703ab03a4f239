import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from scripts.output_thread import MAX_WAITING_LINES, OutputThread

LINE = "  writer │ ready"


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    """The two ends of a pipe: what reads, and what writes."""
    ends = os.pipe()
    with open(ends[0], closefd=False) as reads, open(ends[1], "w", closefd=False) as writes:
        yield reads, writes
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def test_lines_are_printed_in_their_order(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file, OutputThread(file) as output:
        for number in range(100):
            output.say(str(number))
    assert (tmp_path / "out").read_text().split() == [str(number) for number in range(100)]


def test_a_character_that_the_terminal_lacks_is_escaped(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="latin-1") as file, OutputThread(file) as output:
        output.say(LINE)
    assert (tmp_path / "out").read_bytes() == b"  writer \\u2502 ready\n"


def test_a_full_disk_ends_nothing() -> None:
    with Path("/dev/full").open("w") as full, OutputThread(full) as output:
        for _ in range(3):
            output.say(LINE)


def test_a_closed_pipe_ends_nothing(pipe: tuple[TextIO, TextIO]) -> None:
    os.close(pipe[0].fileno())
    with OutputThread(pipe[1]) as output:
        output.say(LINE)


@pytest.mark.parametrize("stream", [None, io.StringIO()], ids=["none", "no descriptor"])
def test_without_a_descriptor_nothing_is_printed(stream: TextIO | None) -> None:
    with OutputThread(stream) as output:
        output.say(LINE)


def test_a_pipe_that_nobody_reads_delays_nothing_and_its_losses_are_counted(
    pipe: tuple[TextIO, TextIO],
) -> None:
    many = 70 * MAX_WAITING_LINES
    output = OutputThread(pipe[1])
    output.__enter__()
    for _ in range(many):
        output.say("x")
    printed = 0
    for text in iter(pipe[0].readline, ""):
        if text != "x\n":
            break
        printed += 1
        if printed == MAX_WAITING_LINES:
            output.say("last")
    assert text.startswith("… ")
    lost = int(text.split()[1].replace(",", ""))
    assert printed <= many - lost
    output.__exit__(None, None, None)


def test_log_records_are_printed(tmp_path: Path) -> None:
    log = logging.getLogger("tests.output_thread")
    with (tmp_path / "out").open("w") as file, OutputThread(file) as output:
        handler = logging.StreamHandler(output)
        log.addHandler(handler)
        log.warning("late")
        log.removeHandler(handler)
    assert (tmp_path / "out").read_text() == "late\n"
