"""Lines of a file that grows: read as they become complete, from a cursor that counts bytes."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import msgspec
import numpy as np

from functions.connectors.folder_files import base_name, ending_of
from functions.connectors.real_folder import DONE, RealFolder
from functions.normalize import file_readers
from functions.normalize.csv_header import CsvHeader, FileForm, FileUnreadable, width_of
from functions.normalize.file_readers import Chunk
from functions.normalize.growing_text import (
    CSV,
    GrowingHeader,
    grows_by_lines,
    header_of,
    read_lines,
)
from functions.normalize.stock_mappings import similar_stock
from storage.platform.trusted_files import NotTrusted

__all__ = ["START_BYTES", "HeaderMemory", "LineCursor", "LineReader", "Part", "check_time_column"]

START_BYTES = 256 << 10
CHECKED_BYTES = 1024
MAX_LINE_BYTES = 64 << 20
MAX_HEADERS = 1000
# Size of the header of a file that has none, and continues an earlier file of its name.
BORROWED = -1


class LineCursor(msgspec.Struct, frozen=True, array_like=True):
    """How much of a file was read: `offset` bytes, which are `lines` lines.

    `header` is the size of the header of CSV in bytes, and `check` a digest of the bytes at the
    start of the file and before the offset, by which a file is known again.
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

    def __init__(self, folder: RealFolder, form: FileForm) -> None:
        self._folder = folder
        self._form = form
        self._headers: dict[str, GrowingHeader] = {}

    def remember(self, name: str, header: GrowingHeader) -> None:
        """Keep the header of a file."""
        self._headers[base_name(name)] = header
        if len(self._headers) > MAX_HEADERS:
            del self._headers[next(iter(self._headers))]

    def candidates(self, name: str) -> Iterator[GrowingHeader]:
        """Yield what may be the header of an earlier file of the name."""
        base = base_name(name)
        if base in self._headers:
            yield self._headers[base]
        for earlier in (base, f"{base}.1"):
            yield from self._header_in(earlier, DONE)
            if earlier != name:
                yield from self._header_in(earlier, "")

    def _header_in(self, name: str, part: str) -> Iterator[GrowingHeader]:
        try:
            with self._folder.open(name, part) as file:
                yield header_of(file.read(START_BYTES), self._form)
        except (OSError, NotTrusted, FileUnreadable):
            return


class LineReader:
    """Reads the lines of files that grow, which `grows_by_lines` knows."""

    def __init__(self, headers: HeaderMemory, times: Sequence[str], form: FileForm) -> None:
        self._headers = headers
        self._times = times
        self._form = form

    def next_part(self, file: BinaryIO, cursor: LineCursor, *, last: bool) -> Part | None:
        """Return the complete lines after the cursor, a chunk at most; None if there is none yet.

        With `last` nobody writes to the file any more, and its end ends a line too. Raises
        FileUnreadable.
        """
        notes: tuple[str, ...] = ()
        if cursor.offset == 0 and ending_of(cursor.name) in CSV:
            cursor, notes = self._begin(file, cursor)
        header = self._header(file, cursor) if cursor.header else None
        lines = _complete_lines(file, cursor.offset, last)
        if not lines:
            return None
        chunk = read_lines(lines, self._form, header, cursor.lines)
        return Part(chunk, cursor.after(file, lines), notes)

    def follows(self, name: str, start: bytes) -> bool:
        """Return True if a file that begins with `start` can be read line by line as it grows."""
        ending = ending_of(name)
        if grows_by_lines(start, ending, self._form):
            return True
        return ending in CSV and b"\0" not in start and self._earlier(name, start) is not None

    def _begin(self, file: BinaryIO, cursor: LineCursor) -> tuple[LineCursor, tuple[str, ...]]:
        """Return the cursor before the first row of a CSV file, and a note without a header."""
        start = _start_of(file)
        try:
            own = header_of(start, self._form)
            check_time_column(own.names, self._times)
        except FileUnreadable as error:
            if self._earlier(cursor.name, start) is None:
                raise FileUnreadable(
                    f"{error}. If the file continues an earlier one, write that one's header first"
                ) from error
            name = base_name(cursor.name)
            note = f"{cursor.name} has no header: it is read with that of the earlier {name}"
            return msgspec.structs.replace(cursor, header=BORROWED), (note,)
        self._headers.remember(cursor.name, own)
        lines = own.header.lines
        return msgspec.structs.replace(cursor, offset=own.size, lines=lines, header=own.size), ()

    def _header(self, file: BinaryIO, cursor: LineCursor) -> CsvHeader:
        start = _start_of(file)
        if cursor.header != BORROWED:
            return header_of(start, self._form).header
        header = self._earlier(cursor.name, start)
        if header is None:
            raise FileUnreadable(
                f"it has no header, and the earlier {base_name(cursor.name)} is gone: write the "
                "header first"
            )
        return header

    def _earlier(self, name: str, start: bytes) -> CsvHeader | None:
        """Return the header of an earlier file of the name, with a time, that fits the first line.

        None too while the first line grows.
        """
        line, end, _ = start.lstrip(b"\r\n").partition(b"\n")
        text = line.decode(errors="replace")
        for candidate in self._headers.candidates(name) if end else ():
            header = candidate.header
            try:
                check_time_column(header.names, self._times)
            except FileUnreadable:
                continue
            if not header.marked and width_of(text, header.delimiter) == len(header.names):
                return header
        return None


def check_time_column(names: Sequence[str], times: Sequence[str]) -> None:
    """Raise FileUnreadable if no record with fields of these names can have a time.

    Without `times` any may.
    """
    if (
        times
        and names
        and not any(t in names or t.split(".")[0].split("[")[0] in names for t in times)
    ):
        similar = similar_stock(names)
        hint = f", or write stock = '{similar}' in [mapping]" if similar else ""
        raise FileUnreadable(
            f"no time column (expected {' or '.join(times)}, columns are "
            f"{', '.join(sorted(names)[:20])}): name it in mapping.time.field{hint}"
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


def _start_of(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(START_BYTES)
