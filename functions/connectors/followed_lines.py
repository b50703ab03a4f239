"""Lines of a file that grows: read as they become complete, from a cursor that counts bytes."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from functions.connectors.folder_files import base_name, ending_of
from functions.normalize import file_readers
from functions.normalize.file_readers import Chunk, FileUnreadable, Header, read_header, read_lines

__all__ = ["HeaderMemory", "LineCursor", "LineReader", "Part", "check_time_column"]

CHECKED_BYTES = 1024
MAX_LINE_BYTES = 64 << 20
MAX_HEADERS = 1000
# Size of the header of a file that has none, and continues an earlier file of its name.
BORROWED = -1


class LineCursor(msgspec.Struct, frozen=True, array_like=True):
    """How much of a file was read: `offset` bytes, which are `lines` lines.

    `header` is the size of the header in bytes, and `check` a digest of the bytes at the start of
    the file and before the offset, by which a file is known again.
    """

    name: str
    inode: int
    offset: int = 0
    lines: int = 0
    header: int = 0
    check: str = ""

    def continues_in(self, file: BinaryIO) -> bool:
        """Return True if the file begins with what was read: it was neither cut nor replaced."""
        return self.check == _digest(file, self.offset)

    def after(self, file: BinaryIO, lines: bytes) -> "LineCursor":
        """Return the cursor after some more lines."""
        offset = self.offset + len(lines)
        return msgspec.structs.replace(
            self, offset=offset, lines=self.lines + lines.count(b"\n"),
            check=_digest(file, offset),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """Some records of a file, the cursor after them, and what the operator should know."""

    chunk: Chunk
    cursor: LineCursor
    notes: tuple[str, ...] = ()


class HeaderMemory:
    """The headers of CSV files by name, for a file that continues an earlier one without a header.

    After a restart they are those of the files in the folder and in done/.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._headers: dict[str, bytes] = {}

    def remember(self, name: str, header: bytes) -> None:
        """Keep the header of a file."""
        self._headers[base_name(name)] = header
        if len(self._headers) > MAX_HEADERS:
            del self._headers[next(iter(self._headers))]

    def candidates(self, name: str) -> Iterator[bytes]:
        """Yield what may be the header of an earlier file of the name."""
        base = base_name(name)
        if base in self._headers:
            yield self._headers[base]
        for earlier in (base, f"{base}.1"):
            for path in (self._folder / "done" / earlier, self._folder / earlier):
                if path.name != name or path.parent != self._folder:
                    yield from _first_bytes(path)


class LineReader:
    """Reads the lines of files that grow; a CSV file needs a header with a time column."""

    def __init__(self, headers: HeaderMemory, times: Sequence[str], delimiter: str) -> None:
        self._headers = headers
        self._times = times
        self._delimiter = delimiter

    def next_part(self, file: BinaryIO, cursor: LineCursor, *, last: bool) -> Part | None:
        """Return the complete lines after the cursor, a chunk at most; None if there is none yet.

        With `last` nobody writes to the file any more, and its end ends a line too. Raises
        FileUnreadable.
        """
        header, first = b"", cursor.offset == 0
        notes: tuple[str, ...] = ()
        if ending_of(cursor.name) == ".csv":
            begun = self._begin(file, cursor, last) if first else (cursor, ())
            if begun is None:
                return None
            cursor, notes = begun
            header = self._header(file, cursor)
        lines = _complete_lines(file, cursor.offset, last)
        if not lines:
            return None
        chunk = read_lines(lines, ending_of(cursor.name), self._delimiter, header, cursor.lines)
        if first and not header and not self._has_time(chunk, last):
            return None
        return Part(chunk, cursor.after(file, lines), notes)

    def _has_time(self, chunk: Chunk, last: bool) -> bool:
        """Return False for the first lines of JSON without a time, while more may come."""
        try:
            check_time_column(chunk.fields, self._times)
        except FileUnreadable:
            if last or len(chunk.documents) >= file_readers.CHUNK_ROWS:
                raise
            return False
        return True

    def _begin(
        self, file: BinaryIO, cursor: LineCursor, last: bool
    ) -> tuple[LineCursor, tuple[str, ...]] | None:
        """Return the cursor before the first row of a CSV file; None while its header grows."""
        file.seek(0)
        try:
            header = read_header(file, self._delimiter)
        except FileUnreadable:
            if last:
                raise
            return None
        file.seek(0)
        text = file.read(header.size)
        if not (last or text.endswith((b"\n", b"\r"))):
            return None
        try:
            check_time_column(header.names, self._times)
        except FileUnreadable as error:
            if self._earlier(cursor.name, len(header.names)) is None:
                raise FileUnreadable(
                    f"{error}. If the file continues an earlier one, write that one's header first"
                ) from error
            name = base_name(cursor.name)
            note = f"{cursor.name} has no header: it is read with that of the earlier {name}"
            return msgspec.structs.replace(cursor, header=BORROWED), (note,)
        self._headers.remember(cursor.name, text)
        size = header.size
        lines = text.count(b"\n")
        return msgspec.structs.replace(cursor, offset=size, lines=lines, header=size), ()

    def _header(self, file: BinaryIO, cursor: LineCursor) -> bytes:
        if cursor.header != BORROWED:
            file.seek(0)
            return file.read(cursor.header)
        file.seek(0)
        width = len(read_header(file, self._delimiter).names)
        header = self._earlier(cursor.name, width)
        if header is None:
            raise FileUnreadable(
                f"it has no header, and the earlier {base_name(cursor.name)} is gone: write the "
                "header first"
            )
        return header

    def _earlier(self, name: str, columns: int) -> bytes | None:
        """Return the header of an earlier file of the name with as many columns, and a time."""
        for candidate in self._headers.candidates(name):
            header = _header_in(candidate, self._delimiter)
            if header is None or len(header.names) != columns:
                continue
            try:
                check_time_column(header.names, self._times)
            except FileUnreadable:
                continue
            return candidate[: header.size]
        return None


def check_time_column(names: Sequence[str], times: Sequence[str]) -> None:
    """Raise FileUnreadable if no record with fields of these names can have a time."""
    if names and not any(t in names or t.split(".")[0].split("[")[0] in names for t in times):
        raise FileUnreadable(
            f"no time column (expected {' or '.join(times)}, columns are "
            f"{', '.join(sorted(names)[:20])}): name it in mapping.time.field"
        )


def _complete_lines(file: BinaryIO, start: int, last: bool) -> bytes:
    """Return the complete lines from `start` on, a chunk at most; with `last` also the rest."""
    size = file_readers.BLOCK_BYTES
    while True:
        file.seek(start)
        block = file.read(size)
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
        if len(ends):
            return block[: int(ends[: file_readers.CHUNK_ROWS][-1]) + 1]
        if len(block) < size:
            return block if last else b""
        if size >= MAX_LINE_BYTES:
            raise FileUnreadable(f"a line has more than {MAX_LINE_BYTES >> 20} MB")
        size *= 4


def _digest(file: BinaryIO, offset: int) -> str:
    file.seek(0)
    start = file.read(min(offset, CHECKED_BYTES))
    file.seek(max(0, offset - CHECKED_BYTES))
    end = file.read(min(offset, CHECKED_BYTES))
    return hashlib.blake2b(start + end, digest_size=8).hexdigest()


def _first_bytes(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield file.read(file_readers.BLOCK_BYTES)
    except OSError:
        return


def _header_in(start: bytes, delimiter: str) -> Header | None:
    try:
        return read_header(io.BytesIO(start), delimiter)
    except FileUnreadable:
        return None
