"""What a user saves is live: functions and sources, files of a folder, the last good version kept.

A file is loaded in a child only. What was loaded last is kept beside it under `.last-good`, so that
a file with an error in it leaves the good version running, also over a restart.
"""

import logging
import threading
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from watchfiles import watch

from functions.engine import registry
from functions.engine.executors.subprocess_executor import (
    LoadFailed,
    SubprocessExecutor,
    WorkerFactory,
)
from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function import Declared, hash_of
from functions.engine.listeners import CommitListener
from functions.engine.runner import Runner
from functions.engine.scheduler import SourceWorker
from storage.config.folders import Folders

__all__ = [
    "FUNCTIONS",
    "SOURCES",
    "CodeFolder",
    "LastGoodVersions",
    "UserCode",
    "loaded",
    "taken_names",
]

log = logging.getLogger("functions")

LOOK_EVERY_MS = 1000
DEBOUNCE_MS = 50


class GoodVersion(msgspec.Struct, frozen=True):
    """A text that could be loaded, and what it declares."""

    text: bytes
    functions: tuple[Declared, ...]


@dataclass(frozen=True, slots=True)
class CodeFolder:
    """A folder that is watched, and what its files end in."""

    folder: str
    suffix: str

    def at(self, folders: Folders) -> Path:
        """Where it lies."""
        return folders.data / self.folder

    def sources(self, folders: Folders) -> dict[str, CodeSource]:
        """Its files by name: not helpers (`_*`), tests, what is empty and what is turned off."""
        files = self._files(folders)
        return {name: source for name, source in files.items() if self._on(source.text)}

    def turned_off(self, folders: Folders) -> dict[str, CodeSource]:
        """The files that say `enabled = false`, by name."""
        files = self._files(folders)
        return {name: source for name, source in files.items() if not self._on(source.text)}

    def _files(self, folders: Folders) -> dict[str, CodeSource]:
        found = {}
        for path in sorted(self.at(folders).glob(f"*{self.suffix}")):
            with suppress(OSError):  # gone, or not for us
                text = path.read_bytes()
                if text.strip() and not path.name.startswith(("_", "test_")):
                    found[path.stem] = CodeSource(path=str(path), text=text)
        return found

    def _on(self, text: bytes) -> bool:
        if self.suffix != ".toml":
            return True
        with suppress(ValueError):  # its error is told by whoever loads it
            return tomllib.loads(text.decode()).get("enabled", True) is not False
        return True


FUNCTIONS = CodeFolder("functions", ".py")
SOURCES = CodeFolder("sources", ".toml")


class LastGoodVersions:
    """The last version of each file that could be loaded."""

    def __init__(self, folders: Folders, place: CodeFolder = FUNCTIONS) -> None:
        self._folder = place.at(folders) / ".last-good"

    def save(self, name: str, good: GoodVersion) -> None:
        """Keep a version; whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{name}.partial"
        partial.write_bytes(msgspec.json.encode(good))
        partial.rename(self._folder / f"{name}.json")

    def load(self, name: str) -> GoodVersion | None:
        """The version that was kept; None when there is none."""
        with suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(
                (self._folder / f"{name}.json").read_bytes(), type=GoodVersion
            )
        return None

    def names(self) -> dict[str, str]:
        """The functions of all versions that were kept, and the file of each."""
        files = [path.stem for path in self._folder.glob("*.json")]
        kept = {name: good for name in files if (good := self.load(name))}
        return {f.name: name for name, good in kept.items() for f in good.functions}

    def forget(self, present: Iterable[str]) -> set[str]:
        """Drop what belongs to none of the files that are there; the names of those."""
        kept = {path.stem: path for path in self._folder.glob("*.json")}
        gone = kept.keys() - set(present)
        for name in gone:
            kept[name].unlink(missing_ok=True)
        return gone


def loaded(
    folders: Folders, worker_factory: WorkerFactory, source: CodeSource, taken: Mapping[str, str],
    place: CodeFolder = FUNCTIONS,
) -> SubprocessExecutor:  # fmt: skip
    """A source in a child, and kept as good; LoadFailed when it is not.

    `taken` tells whose the names are that are taken already.
    """
    executor = SubprocessExecutor(worker_factory, source).load()
    with ExitStack() as undo:
        undo.callback(executor.close)
        for each in executor.functions:
            if taken.get(each.name, source.name) != source.name:
                raise LoadFailed(
                    f"there is a function {each.name!r} in {taken[each.name]!r} already: give it "
                    "another name"
                )
        LastGoodVersions(folders, place).save(
            source.name, GoodVersion(source.text, executor.functions)
        )
        undo.pop_all()
    return executor


def taken_names(folders: Folders, place: CodeFolder) -> dict[str, str]:
    """Names that no file of `place` may use, and whose they are: ours, and the other place's."""
    ours = {function.name: "hoursight" for function in registry.everything()}
    other = SOURCES if place == FUNCTIONS else FUNCTIONS
    present = other.sources(folders)
    others = LastGoodVersions(folders, other).names()
    return ours | {
        name: f"{other.folder}/{file}{other.suffix}" for name, file in others.items()
        if file in present
    }  # fmt: skip


class UserCode:
    """Runs the user's files, and puts the new version in place of the old when one is saved."""

    def __init__(
        self,
        runner: Runner,
        worker_factory: WorkerFactory,
        news: CommitListener,
        place: CodeFolder = FUNCTIONS,
    ) -> None:
        self._place = place
        self._runner = runner
        self._folders = runner.folders
        self._worker_factory = worker_factory
        self._news = news
        self._good = LastGoodVersions(self._folders, place)
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

    def _renew(self, source: CodeSource) -> None:
        try:
            executor = loaded(
                self._folders, self._worker_factory, source, self._taken(), self._place
            )
        except LoadFailed as error:
            self._runner.failed_to_load(source, str(error))
            self._tell(source.name, source.text, "refused", str(error))
            self._keep_good(source)
            return
        self._tell(source.name, source.text, "live")
        self._install(executor)

    def _tell(self, name: str, text: bytes | None, event: str, detail: str | None = None) -> None:
        """Write down what becomes of a source file; of functions `runs` tells."""
        if self._place == SOURCES:
            self._runner.tell_of_source(name, _kind(text), event, detail)

    def _keep_good(self, source: CodeSource) -> None:
        """Leave the last good version running, or start it when this process runs none yet."""
        good = self._good.load(source.name)
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
        others = taken_names(self._folders, self._place)
        return others | {
            function.name: each.executor.source.name for function, each in self.functions()
        }


def _kind(text: bytes | None) -> str | None:
    with suppress(ValueError, KeyError):
        return str(tomllib.loads(text.decode())["kind"]) if text else None
    return None
