"""Import paths that user code had before `from hoursight import …`: they work for one release more.

The finder stands last on `sys.meta_path`, so that it is asked only for modules that do not exist.
"""

import importlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["MOVED", "DeprecatedImport", "DeprecatedImports", "install"]

# Old module: {name in it: name in `hoursight`}. What was never documented is not served.
MOVED: Mapping[str, Mapping[str, str]] = {
    "functions.runtime.function": {
        "Batch": "Batch",
        "Unreachable": "Unreachable",
        "function": "function",
    },
    "functions.runtime.triggers": {
        "cron": "cron",
        "every": "every",
        "files": "files",
        "request": "request",
        "rows": "rows",
    },
    "functions.runtime.window": {"Window": "Window"},
    "functions.runtime.model": {"Forecaster": "Forecaster", "ModelUnusable": "ModelUnusable"},
    "storage.reader": {
        "LakeMissing": "LakeMissing",
        "LakeUnreadable": "LakeUnreadable",
        "QueryFailed": "QueryFailed",
    },
    "storage.schema": {"UnknownTable": "UnknownTable", "table": "table"},
}


class DeprecatedImport(DeprecationWarning):
    """User code imports a public name from where it stood in an earlier release."""


class DeprecatedImports:
    """Finds and loads the modules of a table like `MOVED`, and the packages above them.

    It derives from nothing: `importlib.abc` would cost the process of each function 1 MB.
    """

    def __init__(self, moved: Mapping[str, Mapping[str, str]]) -> None:
        self._moved = moved
        self._packages = {parent for module in moved for parent in _parents(module)}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the protocol of finders
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return a spec for a module of the table or a package above one, else None."""
        if fullname not in self._moved and fullname not in self._packages:
            return None
        # A loader needs the two methods below; the annotation asks for `load_module` as well.
        loader: Any = self
        return ModuleSpec(fullname, loader, is_package=fullname in self._packages)

    def create_module(self, spec: ModuleSpec) -> None:
        """Have Python create the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Have a module of the table answer for its names."""
        if module.__name__ in self._moved:
            names = self._moved[module.__name__]
            module.__dict__["__getattr__"] = partial(_public, module.__name__, names)


def install() -> None:
    """Serve the paths of `MOVED` in this process; further calls change nothing."""
    if not any(isinstance(finder, DeprecatedImports) for finder in sys.meta_path):
        sys.meta_path.append(DeprecatedImports(MOVED))


def _parents(module: str) -> list[str]:
    parts = module.split(".")[:-1]
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def _public(module: str, names: Mapping[str, str], name: str) -> Any:
    if name not in names:
        raise AttributeError(
            f"module {module!r} has no attribute {name!r} (expected {list(names)})"
        )
    warnings.warn(
        f"'from {module} import {name}' ends with the next release: "
        f"write 'from hoursight import {names[name]}'",
        DeprecatedImport,
        stacklevel=2,
    )
    # By name at run time: this room does not depend on the public module above it.
    return getattr(importlib.import_module("hoursight"), names[name])
