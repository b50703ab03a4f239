"""User code: the files of a folder, functions or sources, run as soon as they are saved.

A file is loaded in a worker only. Its last good version is kept under `.last-good`: a file with an
error leaves that version running, also after a restart.
"""

import logging
import threading
import tomllib
from collections.abc import Callable, Mapping
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

CHECK_EVERY_MS = 1000
DEBOUNCE_MS = 50


class UserCode:
    """Runs the files of one folder, and replaces the version that runs when one is saved."""

    def __init__(
        self,
        runner: Runner,
        worker_factory: WorkerFactory,
        commits: CommitListener,
        folder: FileFolder = FUNCTIONS,
    ) -> None:
        self._folder = folder
        self._runner = runner
        self._folders = runner.folders
        self._worker_factory = worker_factory
        self._commits = commits
        self._last_good = LastGoodVersions(self._folders, folder)
        self._catalog = FunctionCatalog(self._folders, runner.settings, self.entries)
        self._fingerprints: dict[str, str] = {}
        self._off: frozenset[str] = frozenset()
        self.source_workers: dict[str, SourceWorker] = {}

    def keep_watch(self, stop: threading.Event, beat: Callable[[], None] = lambda: None) -> None:
        """Follow the folder until `stop` is set, then end what runs; `beat` is called each round.

        After an error it can be called again: what runs goes on meanwhile.
        """
        folder = self._folder.at(self._folders)
        folder.mkdir(exist_ok=True)
        self.refresh()
        for _ in watch(
            folder, stop_event=stop, debounce=DEBOUNCE_MS, step=DEBOUNCE_MS,
            rust_timeout=CHECK_EVERY_MS, yield_on_timeout=True, raise_interrupt=False,
            watch_filter=None, recursive=False,
        ):  # fmt: skip
            beat()
            if not stop.is_set():
                self.refresh()  # also after a timeout: the watch began after the first refresh
        for source_worker in self.source_workers.values():
            source_worker.stop()

    def refresh(self) -> None:
        """Load the files that changed, and stop those that were removed or turned off."""
        sources = self._folder.sources(self._folders)
        shared = self._folder.shared_modules(self._folders)
        for name in self.source_workers.keys() - sources.keys():
            log.info("%s was removed", name)
            self.source_workers.pop(name).stop()
        self._record_absent(sources)
        for name, source in sources.items():
            fingerprint = hash_of(shared + source.text + source.refusal.encode())
            if self._fingerprints.get(name) != fingerprint:
                self._renew(source)
                self._fingerprints[name] = fingerprint

    def _record_absent(self, sources: Mapping[str, CodeSource]) -> None:
        off = self._folder.turned_off(self._folders)
        absent = self._last_good.forget(sources) | (self._fingerprints.keys() - sources.keys())
        for name in absent:
            self._fingerprints.pop(name, None)
        for name in absent - off.keys():
            self._record(name, None, "off", "its file was removed")
        for name in off.keys() - self._off:
            self._record(name, off[name].text, "off", "its file says enabled = false")
        self._off = frozenset(off)

    def functions(self) -> list[tuple[Declared, SourceWorker]]:
        """Return the functions that run now, each with its source worker."""
        source_workers = list(self.source_workers.values())
        return [(function, each) for each in source_workers for function in each.executor.functions]

    def entries(self) -> list[CatalogEntry]:
        """Return the functions that run now as entries of the catalog."""
        return [CatalogEntry(function, each.executor.source) for function, each in self.functions()]

    def source_worker(self, source: CodeSource) -> SourceWorker | None:
        """Return the worker that runs a file, in whichever version; None when none does."""
        source_workers = list(self.source_workers.values())
        return next(
            (each for each in source_workers if each.executor.source.path == source.path), None
        )

    def _renew(self, source: CodeSource) -> None:
        try:
            executor = self._catalog.load(
                self._worker_factory, self._folder, source, self._owners()
            )
        except LoadFailed as error:
            self._runner.failed_to_load(source, str(error))
            self._record(source.name, source.text, "refused", str(error))
            self._run_last_good(source)
            return
        log.debug("%s loaded, code %s", source.path, source.code_hash)
        self._record(source.name, source.text, "live")
        self._install(executor)

    def _record(self, name: str, text: bytes | None, event: str, detail: str | None = None) -> None:
        """Record an event of a source file; for functions the run log has it."""
        if self._folder == SOURCES:
            self._runner.record_source_event(name, _kind(text), event, detail)

    def _run_last_good(self, source: CodeSource) -> None:
        """Leave the last good version running, or start it when this process runs none yet."""
        version = self._last_good.load(source.name)
        if version is None:
            return
        log.warning("%s is refused: its last good version runs", source.name)
        if source.name not in self.source_workers:
            good = CodeSource(path=source.path, text=version.text)
            with suppress(LoadFailed):
                self._install(SubprocessExecutor(self._worker_factory, good).load())

    def _install(self, executor: SubprocessExecutor) -> None:
        """Replace the version that runs.

        Calls go to the new one at once; its schedule starts when the old one has ended, so that no
        function runs twice.
        """
        name = executor.source.name
        former = self.source_workers.get(name)
        self.source_workers[name] = SourceWorker(self._runner, executor, self._commits)
        if former is not None:
            former.stop()
        self.source_workers[name].start()
        log.info("%s is live: %s", name, ", ".join(f.name for f in executor.functions))

    def _owners(self) -> dict[str, str]:
        reserved = self._catalog.reserved_names(self._folder)
        return reserved | {
            function.name: each.executor.source.name for function, each in self.functions()
        }


def _kind(text: bytes | None) -> str | None:
    with suppress(ValueError, KeyError, RecursionError):
        return str(tomllib.loads(text.decode())["kind"]) if text else None
    return None
