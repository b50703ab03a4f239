"""Old import paths, once their modules are gone."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hoursight
from functions.deprecated_imports import MOVED, DeprecatedImport, DeprecatedImports

GONE = {
    "functions.gone.function": {"Batch": "Batch", "function": "function"},
    "storage.gone": {"table": "table", "old_name": "rows"},
}


@pytest.fixture
def gone() -> Iterator[None]:
    """Serves modules that do not exist."""
    finder = DeprecatedImports(GONE)
    sys.meta_path.append(finder)
    yield
    sys.meta_path.remove(finder)
    for name in ("functions.gone.function", "functions.gone", "storage.gone"):
        sys.modules.pop(name, None)


def names_after(statement: str) -> dict[str, Any]:
    """What line 2 of a user's file imports."""
    names: dict[str, Any] = {}
    exec(compile(f"\n{statement}\n", "mine.py", "exec"), names)  # noqa: S102 - as a child does
    return names


@pytest.mark.usefixtures("gone")
def test_a_name_of_a_module_that_is_gone_is_the_public_one() -> None:
    with pytest.warns(DeprecatedImport):
        names = names_after("from functions.gone.function import Batch, function")
    assert (names["Batch"], names["function"]) == (hoursight.Batch, hoursight.function)


@pytest.mark.usefixtures("gone")
def test_the_warning_names_the_new_import_and_the_users_line() -> None:
    with pytest.warns(DeprecatedImport, match="write 'from hoursight import rows'") as caught:
        names_after("from storage.gone import old_name")
    assert "'from storage.gone import old_name' ends" in str(caught[0].message)
    assert (caught[0].filename, caught[0].lineno) == ("mine.py", 2)


@pytest.mark.usefixtures("gone")
def test_what_was_never_documented_is_not_served() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Declared'"):
        names_after("from functions.gone.function import Declared")
    with pytest.raises(AttributeError, match=r"no attribute 'x' \(expected \['table', 'old_name"):
        names_after("import storage.gone; storage.gone.x")


@pytest.mark.usefixtures("gone")
def test_other_modules_that_do_not_exist_stay_unknown() -> None:
    for name in ("functions.gone.other", "functions.elsewhere", "storage.gone.deeper"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


def test_each_old_name_leads_to_a_public_one() -> None:
    leads_to = {new for names in MOVED.values() for new in names.values()}
    assert leads_to <= set(hoursight.__all__)


OLD_IMPORTS = [(module, old, new) for module in MOVED for old, new in MOVED[module].items()]


@pytest.mark.parametrize(("module", "old", "new"), OLD_IMPORTS)
def test_each_old_import_gives_the_public_object_and_warns(module: str, old: str, new: str) -> None:
    with pytest.warns(DeprecatedImport, match=f"write 'from hoursight import {new}'"):
        names = names_after(f"from {module} import {old}")
    assert names[old] is getattr(hoursight, new)


@pytest.mark.parametrize("module", sorted(MOVED))
def test_no_module_stands_where_an_old_import_points(module: str) -> None:
    root = Path(hoursight.__file__).parent
    assert not root.joinpath(*module.split(".")).with_suffix(".py").exists()


@pytest.mark.parametrize("first", ["hoursight", "functions"])
def test_whoever_imports_hoursight_or_a_room_has_the_old_paths(first: str) -> None:
    code = (
        f"import sys, {first}\n"
        "from functions.deprecated_imports import DeprecatedImports\n"
        "found = [f for f in sys.meta_path if isinstance(f, DeprecatedImports)]\n"
        "assert found == [sys.meta_path[-1]], found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
