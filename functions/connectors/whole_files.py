"""Files read chunk by chunk from their start: one file for `hoursight import`, or of a folder."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import astuple
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from functions.connectors.connector import Page
from functions.normalize.file_readers import Chunk, FileForm, chunks_of

__all__ = ["ChunkProgress", "FileConnector", "fingerprint", "page_of"]

# Number of chunks in the position of an imported file that was read to its end.
AT_END = -1


class ImportPosition(msgspec.Struct, frozen=True):
    """The file that is being imported, by its content and its reader, and its chunks so far."""

    file: str = ""
    chunks: int = 0


class ChunkProgress:
    """Reads one file at a time, chunk by chunk; a call continues where the last one stopped."""

    def __init__(self, form: FileForm) -> None:
        self._form = form
        self._at: tuple[str, int] | None = None
        self._chunks: Iterator[Chunk] = iter(())

    def chunks_after(
        self, opener: Callable[[], BinaryIO], stamp: str, taken: int, ending: str
    ) -> Iterator[tuple[int, Chunk]]:
        """Yield the chunks of a file after the first `taken`, each with its number from 1 on.

        The file, which `stamp` tells from others, is opened by `opener` when it is needed.
        """
        if self._at != (stamp, taken):
            self._chunks = self._read(opener, ending)
            for _ in zip(range(taken), self._chunks):  # noqa: B905 - in this order none is lost
                pass
        self._at = None  # until a chunk was read: after an error the file is opened again
        for chunk in self._chunks:
            taken += 1
            self._at = (stamp, taken)
            yield taken, chunk
            self._at = None

    def _read(self, opener: Callable[[], BinaryIO], ending: str) -> Iterator[Chunk]:
        with opener() as file:
            yield from chunks_of(file, ending, self._form)


class FileConnector:
    """Connector for one file, for `hoursight import`: the file stays where it is.

    An import that was cut off is resumed while content, mapping and program are the same; one that
    reached the end begins again.
    """

    def __init__(self, path: Path, form: FileForm | None = None, reader: str = "") -> None:
        form = form or FileForm()
        self._path = path
        self._reader = fingerprint(reader, *astuple(form))
        self._progress = ChunkProgress(form)
        self._file = ""
        self.resumed = False  # behind what an import that was cut off has read
        self.repeated = False  # after an import that reached the end

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:  # noqa: ARG002
        """Yield the records after the position; the position of another file counts as none."""
        at, first = msgspec.convert(position or {}, ImportPosition), not self._file
        if first:
            self._file = f"{_content(self._path)}-{self._reader}"
        taken = at.chunks if at.file == self._file else 0
        if first:
            self.resumed, self.repeated = taken > 0, taken == AT_END
            taken = max(taken, 0)
        if taken == AT_END:
            return
        path = self._path
        chunks = self._progress.chunks_after(
            lambda: path.open("rb"), self._file, taken, path.suffix.lower()
        )
        for read, chunk in chunks:
            position = msgspec.to_builtins(ImportPosition(self._file, read))
            yield page_of(self._path.name, chunk, position, begins=read == 1)
        end = ImportPosition(self._file, AT_END)
        yield Page((), msgspec.to_builtins(end), final=True)

    def close(self) -> None:
        """Do nothing: no file stays open between calls."""


def page_of(name: str, chunk: Chunk, position: Any, **more: Any) -> Page:
    """Return the page of a chunk of a file, with a note on the records that could not be read."""
    note = f"{name}: {chunk.refused} records left out, such as {chunk.why}"
    notes = (*((note,) if chunk.refused else ()), *more.pop("notes", ()))
    return Page(chunk.documents, position, notes, chunk.refused, **more)


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, hashlib.blake2b).hexdigest()[:32]


def fingerprint(*parts: object) -> str:
    """Return a short digest of some values, by their text."""
    return hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).hexdigest()
