"""Function caller: calls from a command, a notebook or a test, beside the running system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from functions.engine.executors.subprocess_executor import (
    LoadFailed,
    SubprocessExecutor,
    WorkerFactory,
)
from functions.engine.function_catalog import CatalogEntry, FunctionCatalog, UnknownFunction
from functions.engine.runner import Run, Runner
from functions.engine.user_files import UserFile
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.errors import HoursightError

__all__ = ["CallFailed", "FunctionCaller"]


class CallFailed(HoursightError):
    """A called function failed or could not be loaded; the message is its error."""


class FunctionCaller:
    """Finds functions by name, loads what was saved and is not loaded yet, and calls them."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.catalog = FunctionCatalog(runner.folders, runner.settings)
        self._worker_factory = WorkerFactory(runner.folders, runner.settings)

    @classmethod
    def at(cls, data: Path | str) -> FunctionCaller:
        """Return a caller for a data folder, which is created if needed. Raises SettingsError."""
        return cls(Runner(Folders.at(data).create(), read_settings(data)))

    def find(self, name: str) -> CatalogEntry:
        """Return the function called `name`, from its file as it is saved if that can be loaded.

        Loads the files that concern `name`, and others only while no function has that name.
        Raises UnknownFunction, and LoadFailed when the file called `name` has no good version.
        """
        waiting = [file for file in self.catalog.user_files() if not file.is_loaded]
        errors: dict[str, str] = {}
        for file in sorted(waiting, key=lambda file: not file.concerns(name)):
            if not file.concerns(name) and self._knows(name):
                break
            self._load(file, errors)
        if name in errors and not self._knows(name):
            raise LoadFailed(f"{name} cannot be loaded: {errors[name]}")
        return self.catalog.find(name)

    @contextmanager
    def executor(self, entry: CatalogEntry) -> Iterator[SubprocessExecutor | None]:
        """An executor with a worker of its own; None for a function that runs in this process."""
        executor = SubprocessExecutor(self._worker_factory, entry.source) if entry.source else None
        try:
            yield executor
        finally:
            if executor:
                executor.close()

    def call(
        self,
        name: str,
        now: datetime | None = None,
        *,
        dry: bool = False,
        paths: tuple[Path, ...] = (),
        body: Any = None,
    ) -> Run:
        """Run a function, and unless `dry` put its rows into the inbox.

        Raises CallFailed and UnknownFunction.
        """
        try:
            entry = self.find(name)
        except LoadFailed as error:
            raise CallFailed(str(error)) from error
        with self.executor(entry) as executor:
            run = self.runner.run_whole(
                entry.function, "python", now, dry, executor=executor, paths=paths, body=body
            )
        self.runner.flush()
        if run.error is not None:
            raise CallFailed(f"{name} {run.outcome}: {run.error}")
        return run

    def _knows(self, name: str) -> bool:
        try:
            self.catalog.find(name)
        except UnknownFunction:
            return False
        return True

    def _load(self, file: UserFile, errors: dict[str, str]) -> None:
        owners = self.catalog.reserved_names(file.folder) | {
            function.name: other.source.name
            for other in self.catalog.user_files()
            if other.folder == file.folder and other.source != file.source
            for function in other.functions
        }
        try:
            self.catalog.load(self._worker_factory, file.folder, file.source, owners).close()
        except LoadFailed as error:
            errors[file.source.name] = str(error)
