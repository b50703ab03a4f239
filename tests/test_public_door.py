"""`hoursight` is all that user code imports."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hoursight
from storage.model.profiles import PROFILE_NAMES

ROOT = Path(__file__).parent.parent
DOCS = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
WRITTEN_FOR_USERS = [*DOCS, *(ROOT / "scripts" / "cli" / "templates").glob("*.txt")]
ROOM_IMPORT = re.compile(
    r"^\s*(?:from|import) (?:functions|storage|web|scripts|model_export)\b.*", re.M
)
ROOM_MODULE = re.compile(r"\b(?:functions|storage|model_export)\.[a-z_]+\.\w+")
# Modules give loggers their names: these are shown in lines of the log and in `--log-level`.
LOGGER = re.compile(r"^[\dT:.-]+Z [A-Z]+ \w+ [\w.]+|--log-level [\w.,=]+", re.M)


@pytest.mark.parametrize("name", hoursight.__all__)
def test_every_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(hoursight, name) is not None
    assert name in dir(hoursight)


def test_what_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'hoursight' has no attribute 'Reader'"):
        hoursight.Reader  # type: ignore[attr-defined]  # noqa: B018


def test_type_checkers_see_the_names_that_the_program_serves() -> None:
    tree = ast.parse((ROOT / "hoursight.py").read_text())
    block = next(
        node for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )  # fmt: skip
    seen = {
        alias.name: node.module
        for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }  # fmt: skip
    assert {name: seen[name] for name in hoursight.DEFINED_IN} == hoursight.DEFINED_IN
    assert set(hoursight.DEFINED_IN) <= set(hoursight.__all__)


def test_every_public_error_is_a_hoursight_error() -> None:
    public = [getattr(hoursight, name) for name in hoursight.__all__]
    errors = [each for each in public if isinstance(each, type) and issubclass(each, Exception)]
    assert hoursight.HoursightError in errors
    assert len(errors) == 9
    assert [error for error in errors if not issubclass(error, hoursight.HoursightError)] == []


def test_the_templates_of_new_functions_are_among_what_is_written_for_users() -> None:
    assert {"function.py.txt", "test_function.py.txt"} <= {path.name for path in WRITTEN_FOR_USERS}


@pytest.mark.parametrize("path", WRITTEN_FOR_USERS, ids=lambda path: path.name)
def test_what_is_written_for_users_names_no_room(path: Path) -> None:
    text = LOGGER.sub("", path.read_text())
    assert ROOM_IMPORT.findall(text) == []
    assert ROOM_MODULE.findall(text) == []


def test_the_page_on_functions_lists_every_public_name() -> None:
    text = (ROOT / "docs" / "functions.md").read_text()
    section = text[text.index("## Imports") : text.index("## Three examples")]
    listed = set(re.findall(r"`(\w+)(?:\([^`]*\))?`", section))
    assert set(hoursight.__all__) - {"Lake", "main"} <= listed


def test_the_profiles_shown_are_those_of_the_model_in_order() -> None:
    text = (ROOT / "docs" / "backtest.md").read_text()
    shown = re.search(r"one for all: (.*?);", text, re.DOTALL)
    assert shown is not None
    assert tuple(re.findall(r"`(\w+)`", shown[1])) == PROFILE_NAMES


LIGHT = (
    "function, Batch, every, cron, rows, files, request, Window, table, connect, call, Unreachable"
)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import hoursight", {"pyarrow", "numpy", "msgspec", "click"}),
        (f"from hoursight import {LIGHT}", {"duckdb", "onnxruntime", "click", "watchfiles"}),
    ],
)
def test_an_import_loads_no_more_than_it_needs(statement: str, absent: set[str]) -> None:
    code = f"{statement}\nimport sys\nprint({absent!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_errors_of_the_door_are_those_that_its_functions_raise(tmp_path: Path) -> None:
    with pytest.raises(hoursight.LakeMissing):
        hoursight.connect(tmp_path)
    with pytest.raises(hoursight.UnknownTable, match="no table 'metricks'"):
        hoursight.table("metricks")
    with pytest.raises(hoursight.UnknownFunction, match="no function 'nobody'"):
        hoursight.call(tmp_path, "nobody")


def test_a_file_that_cannot_be_loaded_is_a_failed_call(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "broken.py").write_text("1 / 0\n")
    with pytest.raises(hoursight.CallFailed, match="broken cannot be loaded: ZeroDivisionError"):
        hoursight.call(tmp_path, "broken")


def test_each_name_is_imported_from_where_it_is_defined() -> None:
    for name, module in hoursight.DEFINED_IN.items():
        assert getattr(importlib.import_module(module), name) is getattr(hoursight, name)
