"""Decompression of request bodies: gzip and snappy, up to a fixed size."""

import gzip
import io
import zlib
from collections.abc import Callable

import pyarrow as pa

from functions.ingest.rejection import PushRejected

__all__ = ["MAX_BODY_BYTES", "decompress", "largest_size"]

MAX_BODY_BYTES = 32 << 20
PART_BYTES = 1 << 20
MAX_MEMBERS = 1000
MEMBER = b"\x1f\x8b\x08"  # how each begins
MAX_DEFLATE_RATIO = 1032  # of zlib


def decompress(
    body: bytes, encoding: str, check: Callable[[bytes], object] = lambda _: None
) -> bytes:
    """Return the body without its compression (`gzip`, `snappy`, or any other for none).

    `check` takes each part of a gzip body as it is unpacked, and may raise. Raises PushRejected:
    400 for a damaged body, 413 for more than MAX_BODY_BYTES.
    """
    if encoding == "gzip":
        body = _gunzip(body, check)
    elif encoding == "snappy":
        body = _unsnap(body)
    _check_size(len(body))
    return body


def largest_size(body: bytes, encoding: str) -> int:
    """The most bytes of memory that `decompress` may take for a body, known before it is unpacked.

    Of gzip it has the parts and then the whole.

    Raises PushRejected like `decompress`.
    """
    if encoding == "gzip":
        return 2 * min(MAX_BODY_BYTES, MAX_DEFLATE_RATIO * len(body))
    if encoding == "snappy":
        size = _unpacked_length(body)
        _check_size(size)
        return size
    return len(body)


def _gunzip(body: bytes, check: Callable[[bytes], object]) -> bytes:
    if body.count(MEMBER) > MAX_MEMBERS:
        raise PushRejected(
            413, f"the gzip body has more than {MAX_MEMBERS} members", "compress it as a whole"
        )
    parts, size = list[bytes](), 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            while part := file.read1(PART_BYTES):
                size += len(part)
                _check_size(size)
                check(part)
                parts.append(part)
    except EOFError as error:
        raise PushRejected(400, "the gzip body is truncated", "send the whole body") from error
    except (OSError, zlib.error) as error:
        raise PushRejected(
            400, f"the body is not gzip ({error})",
            "leave out Content-Encoding, or compress the body with gzip",
        ) from error  # fmt: skip
    return b"".join(parts)


def _unsnap(body: bytes) -> bytes:
    size = _unpacked_length(body)
    _check_size(size)
    try:
        return bytes(pa.decompress(body, decompressed_size=size, codec="snappy", asbytes=True))
    except (pa.ArrowException, OSError) as error:
        raise PushRejected(
            400, "the body is not a snappy block",
            "compress it in the block format of snappy, not the framing format",
        ) from error  # fmt: skip


def _unpacked_length(body: bytes) -> int:
    """The uncompressed length at the start of a snappy block: a varint, lowest 7 bits first."""
    size = 0
    for place, byte in enumerate(body[:5]):
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return size
    raise PushRejected(400, "the body is not a snappy block", "compress it with snappy")


def _check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise PushRejected(
            413, f"the uncompressed body is larger than {MAX_BODY_BYTES >> 20} MiB",
            "send it in parts",
        )  # fmt: skip
