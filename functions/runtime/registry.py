"""Which functions there are: every `Function` that stands in a module of this room."""

import importlib
import pkgutil
from functools import cache

import functions
import functions.adapters
from functions.runtime.function import Function
from storage.settings import Settings

__all__ = ["UnknownFunction", "adapters", "find", "thinkers"]


class UnknownFunction(Exception):
    """No function of that name."""


def adapters(settings: Settings) -> list[Function]:
    """The adapters that the settings turn on."""
    found = _in_package("functions.adapters", tuple(functions.adapters.__path__))
    return [f for f in found if getattr(settings.sources, f.name).enabled]


def thinkers() -> list[Function]:
    """The functions that make rows out of rows."""
    return _in_package("functions", tuple(functions.__path__))


def find(name: str) -> Function:
    """The function called `name`, turned on or not; UnknownFunction names the ones there are."""
    everything = thinkers() + _in_package("functions.adapters", tuple(functions.adapters.__path__))
    for each in everything:
        if each.name == name:
            return each
    known = ", ".join(sorted(f.name for f in everything))
    raise UnknownFunction(f"no function {name!r}; there are {known}")


@cache
def _in_package(package: str, path: tuple[str, ...]) -> list[Function]:
    modules = (
        importlib.import_module(f"{package}.{module.name}")
        for module in pkgutil.iter_modules(path)
        if not module.ispkg and not module.name.startswith("_")
    )
    return [f for module in modules for f in vars(module).values() if isinstance(f, Function)]
