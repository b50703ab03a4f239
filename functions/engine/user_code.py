"""What a user saves is live: functions and sources, files of a folder, the last good version kept.

A file is loaded in a child only. What was loaded last is kept beside it under `.last-good`, so that
a file with an error in it leaves the good version running, also over a restart.
"""

import logging
import threading
import tomllib
from collections.abc import Mapping
from contextlib import suppress

from watchfiles import watch

from functions.engine.executors.subprocess_executor import (
    LoadFailed,
    SubprocessExecutor,
    WorkerFactory,
)
from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function import Declared, hash_of
from functions.engine.function_catalog import CatalogEntry, FunctionCatalog
from functions.engine.listeners import CommitListener
from functions.engine.runner import Runner
from functions.engine.scheduler import SourceWorker
from functions.engine.user_files import FUNCTIONS, SOURCES, FileFolder, LastGoodVersions

__all__ = ["FUNCTIONS", "SOURCES", "UserCode"]

log = logging.getLogger(__name__)

LOOK_EVERY_MS = 1000
DEBOUNCE_MS = 50


class UserCode:
    """Runs the user's files, and puts the new version in place of the old when one is saved."""

    def __init__(
        self,
        runner: Runner,
        worker_factory: WorkerFactory,
        news: CommitListener,
        place: FileFolder = FUNCTIONS,
    ) -> None:
        self._place = place
        self._runner = runner
        self._folders = runner.folders
        self._worker_factory = worker_factory
        self._news = news
        self._good = LastGoodVersions(self._folders, place)
        self._catalog = FunctionCatalog(self._folders, runner.settings, self.entries)
        self._stamps: dict[str, str] = {}
        self._off: frozenset[str] = frozenset()
        self.source_workers: dict[str, SourceWorker] = {}

    def keep_watch(self, stop: threading.Event) -> None:
        """Look at the folder now and whenever it changes, until `stop` is set; then end all.

        After an error it can be called again: what runs goes on meanwhile.
        """
        folder = self._place.at(self._folders)
        folder.mkdir(exist_ok=True)
        self.look()
        for _ in watch(
            folder, stop_event=stop, debounce=DEBOUNCE_MS, step=DEBOUNCE_MS,
            rust_timeout=LOOK_EVERY_MS, yield_on_timeout=True, raise_interrupt=False,
            watch_filter=None, recursive=False,
        ):  # fmt: skip
            if not stop.is_set():
                self.look()  # also when nothing is told: the watch begins after the first look
        for source_worker in self.source_workers.values():
            source_worker.stop()

    def look(self) -> None:
        """Take up what is new in the folder, and let go of what has gone."""
        found = self._place.sources(self._folders)
        helpers = sorted(self._place.at(self._folders).glob("_*.py"))
        shared = b"".join(path.read_bytes() for path in helpers)
        for name in self.source_workers.keys() - found.keys():
            log.info("%s is gone", name)
            self.source_workers.pop(name).stop()
        self._tell_of_absent(found)
        for name, source in found.items():
            stamp = hash_of(shared + source.text)
            if self._stamps.get(name) != stamp:
                self._renew(source)
                self._stamps[name] = stamp

    def _tell_of_absent(self, found: Mapping[str, CodeSource]) -> None:
        off = self._place.turned_off(self._folders)
        gone = self._good.forget(found) | (self._stamps.keys() - found.keys())
        for name in gone:
            self._stamps.pop(name, None)
        for name in gone - off.keys():
            self._tell(name, None, "off", "its file was removed")
        for name in off.keys() - self._off:
            self._tell(name, off[name].text, "off", "its file says enabled = false")
        self._off = frozenset(off)

    def functions(self) -> list[tuple[Declared, SourceWorker]]:
        """What runs now, and where it lives."""
        source_workers = list(self.source_workers.values())
        return [(function, each) for each in source_workers for function in each.executor.functions]

    def entries(self) -> list[CatalogEntry]:
        """Return what runs now, as the catalog has it."""
        return [CatalogEntry(function, r.executor.source) for function, r in self.functions()]

    def source_worker(self, source: CodeSource) -> SourceWorker | None:
        """Return the resident that runs a file, whichever version; None when nobody does."""
        source_workers = list(self.source_workers.values())
        return next(
            (each for each in source_workers if each.executor.source.path == source.path), None
        )

    def _renew(self, source: CodeSource) -> None:
        try:
            executor = self._catalog.load(self._worker_factory, self._place, source, self._taken())
        except LoadFailed as error:
            self._runner.failed_to_load(source, str(error))
            self._tell(source.name, source.text, "refused", str(error))
            self._keep_good(source)
            return
        log.debug("%s loaded, code %s", source.path, source.code_hash)
        self._tell(source.name, source.text, "live")
        self._install(executor)

    def _tell(self, name: str, text: bytes | None, event: str, detail: str | None = None) -> None:
        """Write down what becomes of a source file; of functions `runs` tells."""
        if self._place == SOURCES:
            self._runner.tell_of_source(name, _kind(text), event, detail)

    def _keep_good(self, source: CodeSource) -> None:
        """Leave the last good version running, or start it when this process runs none yet."""
        good = self._good.load(source.name)
        if good is not None:
            log.warning("%s is refused: its last good version runs", source.name)
        if source.name not in self.source_workers and good is not None:
            with suppress(LoadFailed):
                self._install(
                    SubprocessExecutor(
                        self._worker_factory, CodeSource(path=source.path, text=good.text)
                    ).load()
                )

    def _install(self, executor: SubprocessExecutor) -> None:
        name = executor.source.name
        if name in self.source_workers:
            self.source_workers.pop(name).stop()
        self.source_workers[name] = SourceWorker(self._runner, executor, self._news)
        self.source_workers[name].start()
        log.info("%s is live: %s", name, ", ".join(f.name for f in executor.functions))

    def _taken(self) -> dict[str, str]:
        others = self._catalog.reserved_names(self._place)
        return others | {
            function.name: each.executor.source.name for function, each in self.functions()
        }


def _kind(text: bytes | None) -> str | None:
    with suppress(ValueError, KeyError, RecursionError):
        return str(tomllib.loads(text.decode())["kind"]) if text else None
    return None
