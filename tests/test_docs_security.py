"""docs/security.md: every attack names its door, what is answered, and a test that exists."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.test_docs_fidelity import is_test

TEXT = (Path(__file__).parents[1] / "docs" / "security.md").read_text()
HEADER = ("attack", "door", "what it cost", "what is answered", "test")


class AttackRow(NamedTuple):
    """A row of a section's table."""

    attack: str
    door: str
    cost: str
    answer: str
    test: str


def rows() -> list[AttackRow]:
    """The rows of all tables of attacks."""
    lines = re.findall(r"^\|(.*)\|$", TEXT, re.MULTILINE)
    cells = [tuple(cell.strip() for cell in line.split(" | ")) for line in lines]
    start = [i for i, each in enumerate(cells) if each == HEADER]
    assert start, "no table of attacks"
    return [AttackRow(*each) for each in cells if len(each) == 5 and not is_rule(each)]


def is_rule(cells: tuple[str, ...]) -> bool:
    return cells == HEADER or set("".join(cells)) <= set("-")


ROWS = rows()


def test_each_section_of_the_attacks_has_rows() -> None:
    sections = re.findall(r"^### .*\n+((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert len(sections) >= 4
    assert all(section.count("\n") > 2 for section in sections)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.attack}, {row.door}" for row in ROWS])
def test_the_function_of_each_attack_exists(row: AttackRow) -> None:
    assert all(row)
    tests = re.findall(r"`(tests/[^`]+)`", row.test)
    assert tests
    for test in tests:
        assert is_test(test), test
