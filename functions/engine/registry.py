"""Which functions there are: every `Function` that stands in a module of this room."""

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache

import functions
from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function import Function, functions_in
from storage.config.settings import Settings, SourceSettings
from storage.errors import HoursightError

__all__ = ["UnknownFunction", "adapter_sources", "adapters", "everything", "find", "thinkers"]


class UnknownFunction(HoursightError):
    """No function of that name."""


def adapters(settings: Settings) -> list[Function]:
    """The adapters that the settings turn on."""
    return [f for f in _stock_adapters() if getattr(settings.sources, f.name).enabled]


def adapter_sources(settings: Settings) -> list[CodeSource]:
    """The same, each named as the module that holds it: here nothing of theirs is imported."""
    names = SourceSettings.__struct_fields__
    return [
        CodeSource(module=f"functions.connectors.{name}")
        for name in names
        if getattr(settings.sources, name).enabled
    ]


def thinkers() -> list[Function]:
    """The functions that make rows out of rows."""
    return _in_package("functions", tuple(functions.__path__))


def find(name: str, also: Iterable[str] = ()) -> Function:
    """The function of ours called `name`, turned on or not.

    UnknownFunction names the ones there are, and the ones that there are `also`.
    """
    for each in everything():
        if each.name == name:
            return each
    known = ", ".join(sorted([*(f.name for f in everything()), *also]))
    raise UnknownFunction(f"no function {name!r}; there are {known}")


def everything() -> list[Function]:
    """All functions of ours, turned on or not."""
    return thinkers() + _stock_adapters()


def _stock_adapters() -> list[Function]:
    """Those of the settings; the modules of source files hold no function, and their clients are
    loaded by the child that needs them."""
    names = SourceSettings.__struct_fields__
    modules = (importlib.import_module(f"functions.connectors.{name}") for name in names)
    return [f for module in modules for f in functions_in(module)]


@cache
def _in_package(package: str, path: tuple[str, ...]) -> list[Function]:
    modules = (
        importlib.import_module(f"{package}.{module.name}")
        for module in pkgutil.iter_modules(path)
        if not module.ispkg and not module.name.startswith("_")
    )
    return [f for module in modules for f in functions_in(module)]
