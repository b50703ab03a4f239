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

__all__ = ["HEAD_LINES", "CsvLines"]

BLOCK_BYTES = 4 << 20
HEAD_LINES = 200  # among which the header is
SHOWN_BYTES = 200
_ROW = re.compile(rb"^[^#\r\n]", re.MULTILINE)
_ANNOTATION = re.compile(rb"#(?:group|datatype)\b")
# A block without any such line goes to the parser as it is.
_SPECIAL = re.compile(rb"\n[#\r\n]")


class CsvLines:
    """A readable file of the rows of one section after another; `refused` says what is left out."""

    def __init__(self, file: BinaryIO, form: FileForm, refused: list[str]) -> None:
        self._file, self._form, self._refused = file, form, refused
        self._ready, self._rest, self._ended = b"", b"", False
        self._line = 1  # number of the first line in _rest
        self._rows = 0  # rows of this section that were passed on
        self._shifts = [(0, 0)]  # from which row on, how far the number of its line is ahead
        self._section_over = False
        self.header = CsvHeader(",", (), 0)

    def next_section(self) -> bool:
        """Read the header of the next section; return False when there is none.

        Raises FileUnreadable when the file has no header, or none that is certain.
        """
        self._fill(BLOCK_BYTES)
        if self._line > 1 and not _ROW.search(self._rest):
            return False
        head = self._rest.split(b"\n", HEAD_LINES)[:HEAD_LINES]
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
        self._rows, self._section_over = 0, False
        self._shifts = [(0, line - 1)]

    def _refuse_rest(self, lines: Sequence[str]) -> None:
        """Refuse rows below a header with another number of columns."""
        self._refused += [
            f"line {number} has other columns than the header before it: {line[:SHOWN_BYTES]!r}"
            for number, line in enumerate(lines, self._line)
            if line.strip() and not line.startswith("#")
        ]
        self._rest = b""

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
        self.has_rows()
        block, self._ready = self._ready[:count], self._ready[count:]
        return block

    @property
    def closed(self) -> bool:
        """Return False: the file is closed by who opened it."""
        return False

    def _next_block(self) -> bytes:
        """The rows in the next lines of the file; ends the section where there are none."""
        if not self._fill(BLOCK_BYTES):
            self._section_over = True
            return b""
        end = len(self._rest) if self._ended else self._rest.rfind(b"\n") + 1
        if not end:
            raise FileUnreadable(f"line {self._line} is longer than {BLOCK_BYTES >> 20} MB")
        block, self._rest = self._rest[:end], self._rest[end:]
        special = block.startswith((b"#", b"\r", b"\n")) or _SPECIAL.search(block)
        if special or not _is_utf8(block):
            return self._sorted_out(block)
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        self._line, self._rows = self._line + lines, self._rows + lines
        return block

    def _sorted_out(self, block: bytes) -> bytes:
        """The rows of a block, line by line; the next section's lines are left for later."""
        kept, at = [], 0
        for line in block.splitlines(keepends=True):
            if line.startswith(b"#") and self._starts_section(line):
                self._section_over, self._rest = True, block[at:] + self._rest
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
            )
            return False
        if not text.startswith("#"):
            return True
        return width_of(text, self.header.delimiter) == len(self.header.names)

    def _fill(self, count: int) -> bool:
        """Read until `count` bytes are ready; return False when there are none."""
        while len(self._rest) < count and not self._ended:
            block = self._file.read(count - len(self._rest))
            self._ended = not block
            self._rest += block
        return bool(self._rest)

    def _skip_lines(self, count: int) -> None:
        for _ in range(count):
            self._rest = self._rest[self._rest.find(b"\n") + 1 :] if b"\n" in self._rest else b""
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
