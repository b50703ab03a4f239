"""Text files of any encoding, read as UTF-8 without a byte order mark."""

import codecs
import io
from typing import BinaryIO

from storage.errors import HoursightError

__all__ = ["EncodingUnknown", "as_utf8", "check_encoding"]

BOM = b"\xef\xbb\xbf"
HEAD_BYTES = 4096
READ_BYTES = 1 << 20


class EncodingUnknown(HoursightError):
    """A text file whose encoding is not stated and cannot be seen."""


def check_encoding(name: str) -> None:
    """Raise ValueError when `name` is not an encoding of text."""
    try:
        if name:
            "a".encode(name).decode(name)
    except (LookupError, UnicodeError, AttributeError):
        raise ValueError(
            f"encoding is {name!r}: write one such as 'utf-8', 'latin-1', 'cp1252' or 'utf-16'"
        ) from None


def as_utf8(file: BinaryIO, encoding: str = "") -> BinaryIO:
    """Return a file from which UTF-8 is read without a byte order mark, from the start of `file`.

    Without `encoding` it is UTF-8, or UTF-16 where a byte order mark says so. Bytes that are not
    UTF-8 are passed on there. Raises EncodingUnknown, and UnicodeDecodeError while it is read.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(len(BOM) if head.startswith(BOM) else 0)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif not encoding:
        _check_nul(head)
    if not encoding or codecs.lookup(encoding).name == "utf-8":
        return file
    raw: io.RawIOBase = _Transcoded(file, encoding)
    return io.BufferedReader(raw, READ_BYTES)


def _check_nul(head: bytes) -> None:
    """Raise EncodingUnknown for UTF-16 without a byte order mark: every other byte is NUL."""
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = head[first::2].count(0)
        if zeros * 2 > len(head[first::2]):
            raise EncodingUnknown(
                f"it seems to be UTF-16 without a byte order mark: write encoding = '{name}' in "
                "[connection]"
            )


class _Transcoded(io.RawIOBase):
    """A file in another encoding as UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file, self._ready = file, b""
        self._decode = codecs.getincrementaldecoder(encoding)().decode

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Fill `buffer` with UTF-8; return the number of bytes, 0 at the end."""
        while not self._ready:
            block = self._file.read(READ_BYTES)
            self._ready = self._decode(block, final=not block).encode()
            if not block:
                break
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
