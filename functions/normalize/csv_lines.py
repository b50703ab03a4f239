"""Lines of a CSV file for the parser: comments and lines that are not UTF-8 are taken out.

A file may have several sections, each with its own header, as those of sadf and InfluxDB.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import BinaryIO

from functions.normalize.csv_header import (
    CsvHeader,
    FileForm,
    FileUnreadable,
    find_header,
    width_of,
)

__all__ = ["HEAD_LINES", "MAX_REASONS", "NOT_UTF8", "CsvLines"]

BLOCK_BYTES = 4 << 20
# A section is taken in blocks that grow: a file of many small ones is not searched whole for each.
FIRST_BYTES = 16 << 10
HEAD_LINES = 200  # among which the header is
SHOWN_BYTES = 200
MAX_REASONS = 1000  # of a chunk that are kept in words; further ones are only counted
NOT_UTF8 = " is not UTF-8 "
_ROW = re.compile(rb"^[^#\r\n]", re.MULTILINE)
_ANNOTATION = re.compile(rb"#(?:group|datatype)\b")
# A block without any such line goes to the parser as it is.
_SPECIAL = re.compile(rb"\n[#\r\n]")


class CsvLines:
    """A readable file of the rows of one section after another; `refused` says what is left out."""

    def __init__(self, file: BinaryIO, form: FileForm, refused: list[str]) -> None:
        self._file, self._form, self._refused = file, form, refused
        self._ready, self._ended = b"", False
        self._buffer, self._at = b"", 0  # what was read of the file, and how much of it is done
        self._window = FIRST_BYTES
        self._line = 1  # number of the line at _at
        self._rows = 0  # rows of this section that were passed on
        self._shifts = [(0, 0)]  # from which row on, how far the number of its line is ahead
        self._section_over = False
        self.header = CsvHeader(",", (), 0)

    def next_section(self) -> bool:
        """Read the header of the next section; return False when there is none.

        Raises FileUnreadable when the file has no header, or none that is certain.
        """
        self._fill()
        if self._line > 1 and not _ROW.search(self._buffer, self._at):
            return False
        head = self._head()
        lines = [line.decode(errors="replace").rstrip("\r") for line in head]
        header = find_header(lines, self._form, self._line)
        if self.header.marked and not header.marked:
            self._refuse_rest(lines)
            return False
        self.header = header
        _check_utf8(head[header.lines - 1])
        for number, text in self.header.passed:
            self._refused.append(f"line {number} comes before the header: {text[:SHOWN_BYTES]!r}")
        self._skip_lines(header.lines)
        self.begin_section(self.header, self._line)
        return True

    def begin_section(self, header: CsvHeader, line: int) -> None:
        """Begin a section below a known header, with the line of this number."""
        self.header, self._line = header, line
        self._rows, self._section_over, self._window = 0, False, FIRST_BYTES
        self._shifts = [(0, line - 1)]

    def _refuse_rest(self, lines: Sequence[str]) -> None:
        """Refuse rows below a header with another number of columns."""
        self._refused += [
            f"line {number} has other columns than the header before it: {line[:SHOWN_BYTES]!r}"
            for number, line in enumerate(lines, self._line)
            if line.strip() and not line.startswith("#")
        ]
        self._at = len(self._buffer)

    def line_of(self, row: int) -> int:
        """The number of the line of a row; both count from 1."""
        place = bisect_right(self._shifts, (row - 1, 1 << 60)) - 1
        return row + self._shifts[place][1]

    def has_rows(self) -> bool:
        """Return True if this section has another row."""
        while not self._ready and not self._section_over:
            self._ready = self._next_block()
        return bool(self._ready)

    def read(self, count: int = -1) -> bytes:
        """Up to `count` bytes of whole rows of this section; nothing at its end."""
        count = count if count > 0 else BLOCK_BYTES
        blocks, size = list[bytes](), 0
        while self.has_rows() and (not blocks or size + len(self._ready) <= count):
            blocks.append(self._ready[: count - size])
            size += len(blocks[-1])
            self._ready = self._ready[len(blocks[-1]) :]
        return b"".join(blocks)

    @property
    def closed(self) -> bool:
        """Return False: the file is closed by who opened it."""
        return False

    def _next_block(self) -> bytes:
        """The rows in the next lines of the file; ends the section where there are none."""
        if not self._fill():
            self._section_over = True
            return b""
        start, end = self._at, self._end_of_lines()
        block, self._at = self._buffer[start:end], end
        special = block.startswith((b"#", b"\r", b"\n")) or _SPECIAL.search(block)
        if special or not _is_utf8(block):
            return self._sorted_out(block, start)
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        self._line, self._rows = self._line + lines, self._rows + lines
        return block

    def _end_of_lines(self) -> int:
        """The place after the last whole line of the next block, which is larger than the last."""
        while True:
            window, self._window = self._window, min(2 * self._window, BLOCK_BYTES)
            if self._ended and len(self._buffer) - self._at <= window:
                return len(self._buffer)
            end = self._buffer.rfind(b"\n", self._at, self._at + window) + 1
            if end:
                return end
            if window == BLOCK_BYTES:
                raise FileUnreadable(f"line {self._line} is longer than {BLOCK_BYTES >> 20} MB")

    def _sorted_out(self, block: bytes, start: int) -> bytes:
        """The rows of a block, line by line; the next section's lines are left for later."""
        kept, at = [], 0
        for line in block.splitlines(keepends=True):
            if line.startswith(b"#") and self._starts_section(line):
                self._section_over, self._at = True, start + at
                break
            at += len(line)
            if self._is_row(line):
                kept.append(line)
                self._rows += 1
            else:
                if self._shifts[-1][0] == self._rows:
                    self._shifts.pop()
                self._shifts.append((self._rows, self._line - self._rows))
            self._line += 1
        return b"".join(kept)

    def _starts_section(self, line: bytes) -> bool:
        if self.header.marked:
            mark = self.header.names[0] + self.header.delimiter
            return line.startswith(mark.encode())
        return bool(_ANNOTATION.match(line))

    def _is_row(self, line: bytes) -> bool:
        if not line.strip():
            return False
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            self._refused.append(
                f"line {self._line} is not UTF-8 (byte 0x{line[error.start]:02x}): write "
                f"encoding = 'latin-1' or another in [connection]: {line[:SHOWN_BYTES]!r}"
                if len(self._refused) < MAX_REASONS
                else NOT_UTF8
            )
            return False
        if not text.startswith("#"):
            return True
        return width_of(text, self.header.delimiter) == len(self.header.names)

    def _fill(self) -> bool:
        """Read until BLOCK_BYTES are ready, or the rest; return False when there are none.

        Twice as many are read, so that what is left over is not copied for every section.
        """
        left = len(self._buffer) - self._at
        if left < BLOCK_BYTES and not self._ended:
            parts = [self._buffer[self._at :]]
            while left < 2 * BLOCK_BYTES and not self._ended:
                parts.append(self._file.read(2 * BLOCK_BYTES - left))
                self._ended = not parts[-1]
                left += len(parts[-1])
            self._buffer, self._at = b"".join(parts), 0
        return bool(left)

    def _head(self) -> list[bytes]:
        """The next HEAD_LINES lines, without line feeds; an empty one where the file ends."""
        lines, at = list[bytes](), self._at
        while len(lines) < HEAD_LINES:
            end = self._buffer.find(b"\n", at)
            lines.append(self._buffer[at : end if end >= 0 else None])
            if end < 0:
                break
            at = end + 1
        return lines

    def _skip_lines(self, count: int) -> None:
        for _ in range(count):
            self._at = self._buffer.find(b"\n", self._at) + 1 or len(self._buffer)
        self._line += count


def _check_utf8(header: bytes) -> None:
    try:
        header.decode()
    except UnicodeDecodeError as error:
        raise FileUnreadable(
            f"the header is not UTF-8 (byte 0x{header[error.start]:02x}): write "
            "encoding = 'latin-1' or another in [connection]"
        ) from error


def _is_utf8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True
