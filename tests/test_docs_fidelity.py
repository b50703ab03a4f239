"""docs/fidelity.md: every kind has its doors and a test that exists, and no door is left out."""

import ast
import importlib
import re
from pathlib import Path
from typing import NamedTuple

import pytest

TEXT = (Path(__file__).parents[1] / "docs" / "fidelity.md").read_text()
DOORS = {
    "remote write", "line protocol", "JSON feed", "watched folder", "import", "MongoDB",
    "Elasticsearch", "Prometheus scrape", "host",
}  # fmt: skip
READING = {"hoursight sql", "hoursight.connect"}
SECTIONS = dict(re.findall(r"^## (\d+)\. .*\n((?:(?!## ).*\n?)*)", TEXT, re.MULTILINE))


class Kind(NamedTuple):
    """A row of a section's table."""

    kind: str
    doors: str
    what_happens: str
    test: str


def kinds(section: str) -> list[Kind]:
    """The rows of its table, without heading and rule."""
    lines = re.findall(r"^\|(.*)\|$", SECTIONS[section], re.MULTILINE)
    rows = [Kind(*(cell.strip() for cell in line.split("|"))) for line in lines]
    assert rows[0] == Kind("kind", "doors", "what happens", "test")
    return rows[2:]


ROWS = [row for section in SECTIONS for row in kinds(section)]


def doors(cell: str) -> set[str]:
    names = {name.strip() for name in re.sub(r"\([^)]*\)", "", cell).rstrip(" .").split(",")}
    return names | DOORS if "all doors" in names else names


def test_the_first_lines_name_the_doors() -> None:
    named = re.findall(r"`([^`]+)`", TEXT.split("Each row")[0])
    assert set(named) == DOORS


def test_each_section_has_kinds() -> None:
    assert list(SECTIONS) == [str(number) for number in range(1, 16)]
    assert [section for section in SECTIONS if not kinds(section)] == []


@pytest.mark.parametrize("section", SECTIONS)
def test_each_door_has_a_kind_or_a_reason(section: str) -> None:
    has = {door for row in kinds(section) for door in doors(row.doors)}
    without = re.search(r"^Not concerned: (.*\([^)]+\)\.)$", SECTIONS[section], re.MULTILINE)
    left_out = doors(without[1]) if without else set()
    assert (has | left_out) - READING - {"all doors"} == DOORS
    assert not has & left_out


def is_test(node: str) -> bool:
    """True if the function of a test's node id exists; of a class it may be inherited."""
    path, *names = node.split("::")
    assert re.fullmatch(r"tests/(?:\w+/)*test_\w+\.py", path), node
    assert names[-1].startswith("test_")
    if len(names) == 1:  # not imported: some files load torch
        tree = ast.parse((Path(__file__).parents[1] / path).read_text())
        return any(isinstance(n, ast.FunctionDef) and n.name == names[0] for n in tree.body)
    place = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    for name in names:
        place = getattr(place, name)
    return callable(place)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.kind}, {row.doors}" for row in ROWS])
def test_the_test_of_each_kind_exists(row: Kind) -> None:
    assert row.kind
    assert row.what_happens
    tests = re.findall(r"`([^`]+)`", row.test)
    assert tests
    for test in tests:
        assert is_test(test), test
