"""Function catalog: Hoursight's own functions, and those of the user's files as last loaded.

Reading the catalog neither runs nor writes a user's file; only `load` runs one, in a worker.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import functions
from functions.engine.executors.subprocess_executor import (
    LoadFailed,
    SubprocessExecutor,
    WorkerFactory,
)
from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function import Declared, Function, functions_in
from functions.engine.user_files import (
    FUNCTIONS,
    SOURCES,
    FileFolder,
    LastGoodVersions,
    LoadedVersion,
    UserFile,
)
from storage.config.folders import Folders
from storage.config.settings import Settings, SourceSettings
from storage.errors import HoursightError

__all__ = [
    "CatalogEntry", "FunctionCatalog", "UnknownFunction", "adapter_sources", "engine_functions",
    "stock_functions",
]  # fmt: skip

OWNER = "hoursight"
# Of the engine's functions these take the CPU for minutes: each call has a process of its own.
LONG_CALLS = frozenset({"alert_trial"})


class UnknownFunction(HoursightError):
    """No function has that name; the message lists those that exist."""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A function, and the source that a process of its own loads it from.

    `source` is None for a function that runs in the process of the engine. `saved` is the user's
    file when it differs from `source`: it is not loaded yet, or it cannot be loaded.
    """

    function: Declared
    source: CodeSource | None = None
    saved: CodeSource | None = None


class FunctionCatalog:
    """The functions of one data folder.

    `running` returns the functions of the user's files that a process runs. By default they are
    the last good version of each file, which is what the running system runs.
    """

    def __init__(
        self,
        folders: Folders,
        settings: Settings,
        running: Callable[[], Iterable[CatalogEntry]] | None = None,
    ) -> None:
        self._folders = folders
        self._settings = settings
        self._user_entries = running or self._last_loaded

    def entries(self) -> list[CatalogEntry]:
        """Return the functions that run: adapters that are on, the engine's, the user's."""
        on = [f for f in _stock_adapters() if getattr(self._settings.sources, f.name).enabled]
        return [*map(_stock_entry, [*on, *engine_functions()]), *self._user_entries()]

    def find(self, name: str) -> CatalogEntry:
        """Return the function of this name or request path; ours also when it is turned off.

        Raises UnknownFunction.
        """
        entries = [*self._user_entries(), *map(_stock_entry, stock_functions())]
        for entry in entries:
            if entry.function.answers_to(name):
                return entry
        raise self._unknown(name, {entry.function.name for entry in entries})

    def user_files(self) -> list[UserFile]:
        """Return the user's files as they are saved, each with its last version."""
        return [
            UserFile(folder, source, LastGoodVersions(self._folders, folder).load(name))
            for folder in (FUNCTIONS, SOURCES)
            for name, source in folder.sources(self._folders).items()
        ]

    def names(self) -> set[str]:
        """Return all names that are taken, also by functions that are turned off."""
        return {e.function.name for e in (*self._user_entries(), *self.entries())} | {
            function.name for function in stock_functions()
        }

    def reserved_names(self, folder: FileFolder) -> dict[str, str]:
        """Return the names that no file of `folder` may use, and who owns each."""
        owners = {function.name: OWNER for function in stock_functions()}
        return owners | {
            function.name: f"{file.folder.folder}/{file.source.name}{file.folder.suffix}"
            for file in self.user_files()
            if file.folder != folder
            for function in file.functions
        }

    def load(
        self,
        worker_factory: WorkerFactory,
        folder: FileFolder,
        source: CodeSource,
        owners: Mapping[str, str],
    ) -> SubprocessExecutor:
        """Load a file in a worker and keep it as the last good version.

        `owners` maps names that are taken to who owns them. Raises LoadFailed.
        """
        executor = SubprocessExecutor(worker_factory, source).load()
        for each in executor.functions:
            if owners.get(each.name, source.name) != source.name:
                executor.close()
                raise LoadFailed(
                    f"there is a function {each.name!r} in {owners[each.name]!r} already: give it "
                    "another name"
                )
        version = LoadedVersion(source.text, executor.functions)
        LastGoodVersions(self._folders, folder).save(source.name, version)
        return executor

    def _last_loaded(self) -> list[CatalogEntry]:
        return [entry for file in self.user_files() for entry in _entries_of(file)]

    def _unknown(self, name: str, known: Iterable[str]) -> UnknownFunction:
        waiting = [f"{f.source.name}{f.folder.suffix}" for f in self.user_files() if not f.version]
        hint = f"; not loaded yet: {', '.join(waiting)} (start 'hoursight up')" if waiting else ""
        return UnknownFunction(f"no function {name!r}; there are {', '.join(sorted(known))}{hint}")


def engine_functions() -> list[Function]:
    """Return our functions that make rows out of rows; they run in the engine's own process."""
    return _in_package("functions", tuple(functions.__path__))


def stock_functions() -> list[Function]:
    """Return all functions of ours, turned on or not."""
    return engine_functions() + _stock_adapters()


def adapter_sources(settings: Settings) -> list[CodeSource]:
    """Return the modules of the adapters that the settings turn on, without importing them."""
    names = SourceSettings.__struct_fields__
    return [
        CodeSource(module=f"functions.connectors.{name}")
        for name in names
        if getattr(settings.sources, name).enabled
    ]


def _entries_of(file: UserFile) -> list[CatalogEntry]:
    running = CodeSource(path=file.source.path, text=file.version.text if file.version else b"")
    saved = None if file.is_loaded else file.source
    return [CatalogEntry(function, running, saved) for function in file.functions]


def _stock_entry(function: Function) -> CatalogEntry:
    if function in engine_functions() and function.name not in LONG_CALLS:
        return CatalogEntry(function)
    return CatalogEntry(function, CodeSource(module=function.call.__module__))


def _stock_adapters() -> list[Function]:
    """Return the adapters that have a section of the settings.

    The modules of source files declare no function, and only a worker that needs their clients
    imports those.
    """
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
