"""Bounded answers: the bytes of an HTTP response, unpacked only as far as they are wanted."""

import zlib
from collections.abc import Callable

from storage.errors import HoursightError

__all__ = ["UnpackError", "unpacker"]

# zlib: 15 bits of window, plus 32 for a header of gzip or zlib.
EITHER_HEADER = 47

Unpack = Callable[[bytes, int], bytes]


class UnpackError(HoursightError):
    """A response that is compressed in another way than it says, or in one that is not read."""


def unpacker(encoding: str) -> Unpack:
    """Return the function that unpacks the next bytes of a response, at most so many bytes of them.

    What is beyond that is dropped: a caller that wants n bytes asks for one more, and refuses a
    response that has it. Raises UnpackError for another `encoding` than gzip, deflate or none, such
    as several: each could multiply the size by 1,000.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return lambda packed, most: packed[:most]
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise UnpackError(f"Content-Encoding {encoding[:60]!r} was not asked for")
    stream = zlib.decompressobj(EITHER_HEADER)

    def unpack(packed: bytes, most: int) -> bytes:
        try:
            return stream.decompress(packed, most) if most > 0 else b""
        except zlib.error as error:
            raise UnpackError(str(error)) from error

    return unpack
