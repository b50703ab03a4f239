"""Files connector: CSV, JSON lines and Parquet files in a folder, each read once."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from functions.connectors.connector import Page, ReadOptions, Unreachable
from functions.normalize.file_readers import (
    FORMS,
    Chunk,
    FileForm,
    FileUnreadable,
    read_chunks,
)
from functions.normalize.text_encoding import check_encoding
from storage.model.periods import parse_period
from storage.platform.error_text import bounded

__all__ = ["FileConnector", "FolderConnection", "connect"]

# Files of one call: their names are all in its position.
MAX_FILES = 100
# Number of chunks in the position of an imported file that was read to its end.
AT_END = -1


class FolderConnection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The watched folder; a relative path starts at the data folder.

    A file that did not change for `settle` is complete.
    """

    folder: str = "drop"
    settle: str = "2s"
    delimiter: str = ""  # seen in the file where it is not stated
    encoding: str = ""
    header_line: int = 0

    @property
    def form(self) -> FileForm:
        """How the files are written, as far as it is stated."""
        return FileForm(self.delimiter, self.encoding, self.header_line)

    def __post_init__(self) -> None:
        try:
            parse_period(self.settle)
        except ValueError as error:
            raise ValueError(f"settle: {error}") from None
        if len(self.delimiter) > 1:
            raise ValueError(f"delimiter is {self.delimiter!r} (expected one character)")
        if self.header_line < 0:
            raise ValueError(f"header_line is {self.header_line} (expected a line from 1 on)")
        check_encoding(self.encoding)


class FilePosition(msgspec.Struct, frozen=True):
    """The file that is being read, its stamp at that time and how many of its chunks were read.

    `done` are the names and stamps of the files that were read to their end since the last call.
    """

    file: str = ""
    stamp: str = ""
    chunks: int = 0
    done: tuple[tuple[str, str], ...] = ()


def connect(connection: FolderConnection, options: ReadOptions) -> "WatchedFolder":
    """Return a reader of the folder, which is created unless it is a dry run.

    Raises Unreachable when the folder cannot be created or read.
    """
    folder = options.folders.data / connection.folder
    try:
        if not options.dry:
            for name in ("done", "rejected"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        next(folder.iterdir(), None)
    except OSError as error:
        raise Unreachable(
            f"the folder '{folder}' cannot be used ({error}): create it, and let this user write "
            "to it"
        ) from error
    return WatchedFolder(folder, parse_period(connection.settle), connection.form, options)


class FileProgress:
    """Reads one file at a time, chunk by chunk; a call continues where the last one stopped."""

    def __init__(self, form: FileForm) -> None:
        self._form = form
        self._at: tuple[Path, str, int] | None = None
        self._chunks: Iterator[Chunk] = iter(())

    def chunks_after(self, path: Path, stamp: str, taken: int) -> Iterator[tuple[int, Chunk]]:
        """Yield the chunks of a file after the first `taken`, each with its number from 1 on."""
        if self._at != (path, stamp, taken):
            self._chunks = read_chunks(path, form=self._form)
            for _ in zip(range(taken), self._chunks):  # noqa: B905 - in this order none is lost
                pass
        self._at = None  # until a chunk was read: after an error the file is opened again
        for chunk in self._chunks:
            taken += 1
            self._at = (path, stamp, taken)
            yield taken, chunk
            self._at = None


class WatchedFolder:
    """Connector for a folder: each file goes to done/ or rejected/ below it after it was read."""

    def __init__(self, path: Path, settle: timedelta, form: FileForm, options: ReadOptions) -> None:
        self._path = path
        self._settle = settle
        self._progress = FileProgress(form)
        self._options = options

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:
        """Yield the records of the complete files, the oldest file first; raises Unreachable."""
        at = msgspec.convert(position or {}, FilePosition)
        for name, stamp in at.done:  # the rows of these files are safe
            if _stamp(self._path / name) == stamp:
                _move(self._path / name, self._path / "done")
        at = FilePosition(at.file, at.stamp, at.chunks)
        for path in self._complete_files(now)[:MAX_FILES]:
            for page in self._read(path, at):
                at = msgspec.convert(page.position, FilePosition)
                yield page

    def close(self) -> None:
        """Do nothing: no file stays open between calls."""

    def _complete_files(self, now: datetime) -> list[Path]:
        complete = []
        try:
            names = list(self._path.iterdir())
        except OSError as error:
            raise Unreachable(
                f"the folder '{self._path}' cannot be read ({error}): create it"
            ) from error
        for path in names:
            try:
                status = path.stat()
            except OSError:  # deleted meanwhile, or not readable
                continue
            quiet_s = now.timestamp() - max(status.st_mtime, 0)
            hidden = path.name.startswith(".") or path.suffix in (".partial", ".tmp", ".part")
            if path.is_file() and not hidden and quiet_s >= self._settle.total_seconds():
                complete.append((status.st_mtime, path.name, path))
        return [path for *_, path in sorted(complete)]

    def _read(self, path: Path, at: FilePosition) -> Iterator[Page]:
        stamp = _stamp(path)
        taken = at.chunks if (at.file, at.stamp) == (path.name, stamp) else 0
        read = taken
        try:
            for read, chunk in self._progress.chunks_after(path, stamp, taken):
                if read == 1:
                    self._check(chunk)
                yield _page(path.name, chunk, FilePosition(path.name, stamp, read, at.done))
        except FileUnreadable as error:
            why = bounded(str(error))
            if not self._options.dry:
                _reject(path, self._path / "rejected", why, read)
            note = f"{path.name} is rejected: {why}"
            yield Page((), msgspec.to_builtins(FilePosition(done=at.done)), (note,), refused=1)
            return
        except FileNotFoundError:
            return
        if _stamp(path) == stamp:  # else it is still being written, and is read again when complete
            done = FilePosition(done=(*at.done, (path.name, stamp)))
            yield Page((), msgspec.to_builtins(done), final=True)

    def _check(self, chunk: Chunk) -> None:
        """Raise FileUnreadable for a file in which no record can have a time."""
        keys = chunk.fields
        fields = self._options.time.fields
        if keys and not any(f in keys or f.split(".")[0].split("[")[0] in keys for f in fields):
            raise FileUnreadable(
                f"no time column (expected {' or '.join(fields)}, columns are "
                f"{', '.join(sorted(keys)[:20])}): name it in mapping.time.field"
            )


class FileConnector:
    """Connector for one file, for `hoursight import`: the file stays where it is."""

    def __init__(self, path: Path, form: FileForm | None = None) -> None:
        self._path = path
        self._progress = FileProgress(form or FileForm())

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:  # noqa: ARG002
        """Yield the records after the position; the position of another file counts as none."""
        at, stamp = msgspec.convert(position or {}, FilePosition), _stamp(self._path)
        taken = at.chunks if (at.file, at.stamp) == (str(self._path), stamp) else 0
        if taken == AT_END:
            return
        for read, chunk in self._progress.chunks_after(self._path, stamp, taken):
            yield _page(self._path.name, chunk, FilePosition(str(self._path), stamp, read))
        end = FilePosition(str(self._path), stamp, AT_END)
        yield Page((), msgspec.to_builtins(end), final=True)

    def close(self) -> None:
        """Do nothing: no file stays open between calls."""


def _page(name: str, chunk: Chunk, position: FilePosition) -> Page:
    notes = (f"{name}: {chunk.refused} records left out, such as {chunk.why}",)
    return Page(
        chunk.documents, msgspec.to_builtins(position), notes if chunk.refused else (),
        chunk.refused,
    )  # fmt: skip


def _stamp(path: Path) -> str:
    """Inode, size and modification time; empty for a file that is gone."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def _reject(path: Path, folder: Path, why: str, chunks: int) -> None:
    moved = _move(path, folder)
    before = " The records before the error were read." if chunks > 1 else ""
    text = f"{why}\nSupported: {', '.join(FORMS)}.{before} Correct the file and move it back.\n"
    moved.with_name(moved.name + ".reason.txt").write_text(text)


def _move(path: Path, folder: Path) -> Path:
    """Move a file into a folder, under another name if one of its name is there."""
    target, number = folder / path.name, 1
    while target.exists():
        number += 1
        target = folder / f"{path.stem}-{number}{path.suffix}"
    path.rename(target)
    return target
