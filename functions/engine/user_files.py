"""User files: functions and sources in the data folder, each with its last good version."""

import logging
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function import Declared
from storage.config.folders import Folders
from storage.platform.trusted_files import NotTrusted, read_trusted

__all__ = ["FUNCTIONS", "SOURCES", "FileFolder", "LastGoodVersions", "LoadedVersion", "UserFile"]


log = logging.getLogger(__name__)


class LoadedVersion(msgspec.Struct, frozen=True):
    """The text of a file that could be loaded, and the functions that it declares."""

    text: bytes
    functions: tuple[Declared, ...]


@dataclass(frozen=True, slots=True)
class FileFolder:
    """A folder below the data folder whose files are loaded, and the suffix of their names."""

    folder: str
    suffix: str

    def at(self, folders: Folders) -> Path:
        """Return its path in a data folder."""
        return folders.data / self.folder

    def sources(self, folders: Folders) -> dict[str, CodeSource]:
        """Return its files by name, without `_*`, `test_*`, empty and turned-off ones."""
        files = self._files(folders)
        return {name: source for name, source in files.items() if self._on(source.text)}

    def shared_modules(self, folders: Folders) -> bytes:
        """Return the text of the modules `_*.py` beside its files, as far as they may be loaded."""
        texts = []
        for path in sorted(self.at(folders).glob("_*.py")):
            with suppress(OSError):
                texts.append(_read(path).text)
        return b"".join(texts)

    def turned_off(self, folders: Folders) -> dict[str, CodeSource]:
        """Return the files that say `enabled = false`, by name."""
        files = self._files(folders)
        return {name: source for name, source in files.items() if not self._on(source.text)}

    def _files(self, folders: Folders) -> dict[str, CodeSource]:
        files = {}
        for path in sorted(self.at(folders).glob(f"*{self.suffix}")):
            if path.name.startswith(("_", "test_")):
                continue
            with suppress(OSError):  # removed meanwhile, or not readable
                source = _read(path)
                if source.text.strip() or source.refusal:
                    files[path.stem] = source
        return files

    def _on(self, text: bytes) -> bool:
        if self.suffix != ".toml":
            return True
        with suppress(ValueError, RecursionError):  # loading it reports the error
            return tomllib.loads(text.decode()).get("enabled", True) is not False
        return True


def _read(path: Path) -> CodeSource:
    try:
        return CodeSource(path=str(path), text=read_trusted(path))
    except NotTrusted as error:
        return CodeSource(path=str(path), refusal=str(error))


FUNCTIONS = FileFolder("functions", ".py")
SOURCES = FileFolder("sources", ".toml")


@dataclass(frozen=True, slots=True)
class UserFile:
    """A file as it is saved, and its last version that could be loaded (None: there is none)."""

    folder: FileFolder
    source: CodeSource
    version: LoadedVersion | None

    @property
    def is_loaded(self) -> bool:
        """Return True if the saved text is the last version that could be loaded."""
        return self.version is not None and self.version.text == self.source.text

    @property
    def functions(self) -> tuple[Declared, ...]:
        """Return the functions that its last version declares."""
        return self.version.functions if self.version else ()

    def concerns(self, name: str) -> bool:
        """Return True if the file is called `name`, or its last version declares it."""
        return name == self.source.name or any(f.answers_to(name) for f in self.functions)


class LastGoodVersions:
    """The last version of each file of a folder that could be loaded, kept in `.last-good`."""

    def __init__(self, folders: Folders, folder: FileFolder = FUNCTIONS) -> None:
        self._folder = folder.at(folders) / ".last-good"

    def save(self, name: str, version: LoadedVersion) -> None:
        """Keep a version, atomically."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{name}.partial"
        partial.write_bytes(msgspec.json.encode(version))
        partial.rename(self._folder / f"{name}.json")

    def load(self, name: str) -> LoadedVersion | None:
        """Return the version that is kept; None without one, or if others can have written it."""
        path = self._folder / f"{name}.json"
        try:
            return msgspec.json.decode(read_trusted(path), type=LoadedVersion)
        except NotTrusted as error:
            log.warning("the last good version of %s is not used: %s", name, error)
        except (OSError, ValueError):
            pass
        return None

    def forget(self, present: Iterable[str]) -> set[str]:
        """Drop the versions of files that are not `present`; return the names of those."""
        kept = {path.stem: path for path in self._folder.glob("*.json")}
        gone = kept.keys() - set(present)
        for name in gone:
            kept[name].unlink(missing_ok=True)
        return gone
