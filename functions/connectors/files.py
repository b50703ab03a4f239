"""Files that somebody puts into a folder: CSV, JSON lines and Parquet, each taken once."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from functions.connectors.connector import Page, ReadOptions, Unreachable
from functions.normalize.file_readers import FORMS, Chunk, FileUnreadable, read_chunks
from storage.model.periods import parse_period
from storage.platform.error_text import bounded

__all__ = ["FileConnector", "FolderConnection", "connect"]

# So many small files are named in one position.
MAX_FILES = 100
# In the position of an imported file: to its end.
WHOLE = -1


class FolderConnection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The folder that is watched; a path that is not absolute starts at the data folder.

    A file that was not changed for `settle` is whole; so is one that was moved in.
    """

    folder: str = "drop"
    settle: str = "2s"
    delimiter: str = ","

    def __post_init__(self) -> None:
        try:
            parse_period(self.settle)
        except ValueError as error:
            raise ValueError(f"settle is {error}") from None
        if len(self.delimiter) != 1:
            raise ValueError(f"delimiter is {self.delimiter!r}: write one character")


class FilePosition(msgspec.Struct, frozen=True):
    """The file that is being read, as it was then, how many chunks of it are taken, and the files
    that were read to their end since the last call."""

    file: str = ""
    stamp: str = ""
    chunks: int = 0
    done: tuple[tuple[str, str], ...] = ()


def connect(connection: FolderConnection, wanted: ReadOptions) -> "WatchedFolder":
    """The folder, made when it is missing."""
    folder = wanted.folders.data / connection.folder
    try:
        if not wanted.dry:
            for name in ("done", "rejected"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        next(folder.iterdir(), None)
    except OSError as error:
        raise Unreachable(
            f"the folder '{folder}' cannot be used ({error}): make it, and let "
            "this user write there"
        ) from error
    return WatchedFolder(folder, parse_period(connection.settle), connection.delimiter, wanted)


class FileProgress:
    """One file at a time, chunk by chunk: a call goes on where the last one stopped."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._at: tuple[Path, str, int] | None = None
        self._chunks: Iterator[Chunk] = iter(())

    def after(self, path: Path, stamp: str, taken: int) -> Iterator[tuple[int, Chunk]]:
        """The chunks of a file behind those that are `taken`, each with its number, from 1."""
        if self._at != (path, stamp, taken):
            self._chunks = read_chunks(path, self._delimiter)
            for _ in zip(range(taken), self._chunks):  # noqa: B905 - in this order none is lost
                pass
        self._at = None  # until a chunk has come: what raises is not gone on with
        for chunk in self._chunks:
            taken += 1
            self._at = (path, stamp, taken)
            yield taken, chunk
            self._at = None


class WatchedFolder:
    """A watched folder."""

    def __init__(self, path: Path, settle: timedelta, delimiter: str, wanted: ReadOptions) -> None:
        self._path = path
        self._settle = settle
        self._reading = FileProgress(delimiter)
        self._wanted = wanted

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:
        """The records of the files that are whole, the oldest first."""
        at = msgspec.convert(position or {}, FilePosition)
        for name, stamp in at.done:  # what is handed in is safe: these were taken
            if _stamp(self._path / name) == stamp:
                _move(self._path / name, self._path / "done")
        at = FilePosition(at.file, at.stamp, at.chunks)
        for path in self._whole(now)[:MAX_FILES]:
            for page in self._read(path, at):
                at = msgspec.convert(page.position, FilePosition)
                yield page

    def close(self) -> None:
        """Nothing is held open."""

    def _whole(self, now: datetime) -> list[Path]:
        found = []
        try:
            names = list(self._path.iterdir())
        except OSError as error:
            raise Unreachable(f"the folder '{self._path}' is gone ({error}): make it") from error
        for path in names:
            try:
                status = path.stat()
            except OSError:  # gone, or not for us
                continue
            quiet_s = now.timestamp() - max(status.st_mtime, 0)
            hidden = path.name.startswith(".") or path.suffix in (".partial", ".tmp", ".part")
            if path.is_file() and not hidden and quiet_s >= self._settle.total_seconds():
                found.append((status.st_mtime, path.name, path))
        return [path for *_, path in sorted(found)]

    def _read(self, path: Path, at: FilePosition) -> Iterator[Page]:
        stamp = _stamp(path)
        taken = at.chunks if (at.file, at.stamp) == (path.name, stamp) else 0
        read = taken
        try:
            for read, chunk in self._reading.after(path, stamp, taken):
                if read == 1:
                    self._check(chunk)
                yield _page(path.name, chunk, FilePosition(path.name, stamp, read, at.done))
        except FileUnreadable as error:
            why = bounded(str(error))
            if not self._wanted.dry:
                _reject(path, self._path / "rejected", why, read)
            told = f"{path.name} is rejected: {why}"
            yield Page((), msgspec.to_builtins(FilePosition(done=at.done)), (told,), refused=1)
            return
        except FileNotFoundError:
            return
        if _stamp(path) == stamp:  # else somebody still writes: it is read anew when it is whole
            done = FilePosition(done=(*at.done, (path.name, stamp)))
            yield Page((), msgspec.to_builtins(done), final=True)

    def _check(self, chunk: Chunk) -> None:
        """Refuse a file in which no record can have a time."""
        keys = chunk.fields
        fields = self._wanted.time.fields
        if keys and not any(f in keys or f.split(".")[0].split("[")[0] in keys for f in fields):
            raise FileUnreadable(
                f"none of its columns {', '.join(sorted(keys)[:20])} is a time, which mapping.time "
                f"expects in {' or '.join(fields)}: name it in mapping.time.field"
            )


class FileConnector:
    """One file, for `hoursight import`: read where it lies, and left there."""

    def __init__(self, path: Path, delimiter: str = ",") -> None:
        self._path = path
        self._reading = FileProgress(delimiter)

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:  # noqa: ARG002
        """Its records from the position on; one of another file counts as none."""
        at, stamp = msgspec.convert(position or {}, FilePosition), _stamp(self._path)
        taken = at.chunks if (at.file, at.stamp) == (str(self._path), stamp) else 0
        if taken == WHOLE:
            return
        for read, chunk in self._reading.after(self._path, stamp, taken):
            yield _page(self._path.name, chunk, FilePosition(str(self._path), stamp, read))
        end = FilePosition(str(self._path), stamp, WHOLE)
        yield Page((), msgspec.to_builtins(end), final=True)

    def close(self) -> None:
        """Nothing is held open."""


def _page(name: str, chunk: Chunk, position: FilePosition) -> Page:
    notes = (f"{name}: {chunk.refused} records left out, such as {chunk.why}",)
    return Page(
        chunk.documents, msgspec.to_builtins(position), notes if chunk.refused else (),
        chunk.refused,
    )  # fmt: skip


def _stamp(path: Path) -> str:
    """What changes when the file does."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def _reject(path: Path, folder: Path, why: str, chunks: int) -> None:
    moved = _move(path, folder)
    before = " What stands before the damage was taken." if chunks > 1 else ""
    text = f"{why}\nFiles are {', '.join(FORMS)}.{before} Mend it and move it back.\n"
    moved.with_name(moved.name + ".reason.txt").write_text(text)


def _move(path: Path, folder: Path) -> Path:
    """Move a file; one of that name that lies there already is kept too."""
    target, number = folder / path.name, 1
    while target.exists():
        number += 1
        target = folder / f"{path.stem}-{number}{path.suffix}"
    path.rename(target)
    return target
