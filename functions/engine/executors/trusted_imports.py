"""Imports from a folder of the user's: modules that only root or this user can have written."""

import importlib.machinery as machinery
import sys
from importlib.abc import PathEntryFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from storage.platform.trusted_files import NotTrusted, check_trusted, read_trusted

__all__ = ["add_import_folder"]


def add_import_folder(folder: Path) -> None:
    """Let modules be imported from a folder, the last of all; ImportError says what is refused."""
    if str(folder) in sys.path:
        return
    sys.path_hooks.insert(0, _hook(folder))
    sys.path_importer_cache.pop(str(folder), None)
    sys.path.append(str(folder))


class _SourceLoader(machinery.SourceFileLoader):
    """Reads a module, and its compiled form in __pycache__."""

    def get_data(self, path: str) -> bytes:
        """Return the content of a file; OSError for a compiled one makes it be compiled again."""
        try:
            return read_trusted(Path(path))
        except NotTrusted as error:
            if path == self.path:
                raise ImportError(str(error), name=self.name, path=path) from error
            raise OSError(str(error)) from error


class _ExtensionLoader(machinery.ExtensionFileLoader):
    """Loads a module of machine code."""

    def create_module(self, spec: machinery.ModuleSpec) -> ModuleType:
        """Return the module."""
        try:
            check_trusted(Path(self.path))
        except NotTrusted as error:
            raise ImportError(str(error), name=self.name, path=self.path) from error
        return super().create_module(spec)


def _hook(folder: Path) -> Any:
    finder = machinery.FileFinder.path_hook(
        (_ExtensionLoader, machinery.EXTENSION_SUFFIXES),
        (_SourceLoader, machinery.SOURCE_SUFFIXES),
    )

    def find(entry: str) -> PathEntryFinder:
        if folder != Path(entry) and folder not in Path(entry).parents:
            raise ImportError(f"{entry} is not below {folder}")
        return finder(entry)

    return find
