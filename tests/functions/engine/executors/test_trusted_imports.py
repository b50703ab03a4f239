"""Imports beside a user's file: modules, compiled ones and packages that others wrote."""

import importlib.util
import py_compile
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.engine.executors.trusted_imports import add_import_folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    hooks, path, modules = list(sys.path_hooks), list(sys.path), set(sys.modules)
    folder = tmp_path / "functions"
    folder.mkdir()
    add_import_folder(folder)
    yield folder
    sys.path_hooks[:], sys.path[:] = hooks, path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path_importer_cache.clear()


def module(path: Path, mode: int = 0o644) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("ORIGIN = __file__\n")
    path.chmod(mode)
    importlib.invalidate_caches()


def test_modules_and_packages_of_ours_are_imported(folder: Path) -> None:
    module(folder / "_names_of_ours.py")
    module(folder / "package_of_ours" / "__init__.py")
    module(folder / "package_of_ours" / "part.py")
    assert importlib.import_module("_names_of_ours").ORIGIN.startswith(str(folder))
    assert importlib.import_module("package_of_ours.part")


@pytest.mark.parametrize("name", ["theirs.py", "theirs.so", "theirs/__init__.py", "theirs/part.py"])
def test_a_module_that_others_can_write_is_refused_in_words(folder: Path, name: str) -> None:
    module(folder / name, 0o666)
    wanted = "theirs.part" if name.endswith("part.py") else "theirs"
    with pytest.raises(ImportError, match=r"other users can write to .*theirs.*chmod go-w"):
        importlib.import_module(wanted)


def test_a_compiled_module_that_others_can_write_is_compiled_again(folder: Path) -> None:
    source = folder / "once_compiled.py"
    module(source)
    forged = folder / "forged.txt"
    forged.write_text("FORGED = 1\n")
    compiled = Path(importlib.util.cache_from_source(str(source)))
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(forged), str(compiled), invalidation_mode=unchecked)
    compiled.chmod(0o646)
    assert hasattr(importlib.import_module("once_compiled"), "ORIGIN")
