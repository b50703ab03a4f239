"""All functions of a data folder, ours and the user's, for a process beside the running system."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from functions.engine import registry
from functions.engine.executors.subprocess_executor import (
    LoadFailed,
    SubprocessExecutor,
    WorkerFactory,
)
from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function import Declared, Function
from functions.engine.runner import Run, Runner
from functions.engine.user_code import (
    FUNCTIONS,
    SOURCES,
    CodeFolder,
    LastGoodVersions,
    loaded,
    taken_names,
)
from storage.errors import HoursightError

__all__ = ["CallFailed", "Known", "Roster"]


class CallFailed(HoursightError):
    """A function that was called has failed; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Known:
    """A function: where it comes from when it lives in a process of its own, and is it current?

    `trouble` is why the file as it is now cannot be loaded: its last good version runs.
    """

    function: Declared
    source: CodeSource | None = None
    trouble: str | None = None


class Roster:
    """Finds functions and calls them."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._worker_factory = WorkerFactory(runner.folders, runner.settings)

    def known(self) -> tuple[list[Known], dict[str, str]]:
        """The functions that run, and the files of which none can, each with the reason."""
        running, broken = self._users()
        adapters = [_adapter(f) for f in registry.adapters(self.runner.settings)]
        return [*adapters, *map(Known, registry.thinkers()), *running], broken

    def find(self, name: str) -> Known:
        """The function called `name`, turned on or not.

        UnknownFunction names the ones there are, LoadFailed why the file of that name has none.
        """
        running, broken = self._users()
        for each in running:
            if each.function.name == name:
                return each
        if name in broken:
            raise LoadFailed(f"{name} cannot be loaded: {broken[name]}")
        ours = registry.find(name, also=[each.function.name for each in running])
        return Known(ours) if ours in registry.thinkers() else _adapter(ours)

    @contextmanager
    def at_hand(self, known: Known) -> Iterator[SubprocessExecutor | None]:
        """The hands that call a function; None for one that is called in this process."""
        executor = SubprocessExecutor(self._worker_factory, known.source) if known.source else None
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
        """Run a function, and unless `dry` put its rows into the inbox; raises CallFailed."""
        known = self.find(name)
        with self.at_hand(known) as executor:
            run = self.runner.run_whole(
                known.function, "python", now, dry, executor=executor, paths=paths, body=body
            )
        self.runner.flush()
        if run.error is not None:
            raise CallFailed(f"{name} {run.outcome}: {run.error}")
        return run

    def _users(self) -> tuple[list[Known], dict[str, str]]:
        running: list[Known] = []
        broken: dict[str, str] = {}
        for place in (FUNCTIONS, SOURCES):
            self._look_at(place, running, broken)
        return running, broken

    def _look_at(self, place: CodeFolder, running: list[Known], broken: dict[str, str]) -> None:
        folders = self.runner.folders
        good_ones, taken = LastGoodVersions(folders, place), taken_names(folders, place)
        for name, source in place.sources(folders).items():
            good, trouble = good_ones.load(name), None
            if good is None or good.text != source.text:
                try:
                    loaded(folders, self._worker_factory, source, taken, place).close()
                except LoadFailed as error:
                    trouble = str(error)
                good = good_ones.load(name)
            if good is None:
                broken[name] = str(trouble)
                continue
            held = CodeSource(path=source.path, text=good.text)
            running += [Known(function, held, trouble) for function in good.functions]
            taken |= {function.name: name for function in good.functions}


def _adapter(function: Function) -> Known:
    return Known(function, CodeSource(module=function.call.__module__))
