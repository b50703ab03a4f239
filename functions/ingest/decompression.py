"""Bodies as they come, compressed or not: unpacked, and never to more than is allowed."""

import zlib

import pyarrow as pa

from functions.ingest.rejection import PushRejected

__all__ = ["MAX_BODY_BYTES", "decompress"]

MAX_BODY_BYTES = 32 << 20
GZIP = 31  # zlib's word for: with a gzip head


def decompress(body: bytes, encoding: str) -> bytes:
    """The body without its compression. Raises PushRejected."""
    if encoding == "gzip":
        body = _gunzipped(body)
    elif encoding == "snappy":
        body = _unsnapped(body)
    _check_size(len(body))
    return body


def _gunzipped(body: bytes) -> bytes:
    parts, size = [], 0
    try:
        while body:
            member = zlib.decompressobj(GZIP)
            parts.append(member.decompress(body, MAX_BODY_BYTES + 1 - size))
            size += len(parts[-1])
            _check_size(size)
            if not member.eof:
                raise PushRejected(
                    400, "the gzip body ends in the middle", "send the whole of it, with its end"
                )
            body = member.unused_data
    except zlib.error as error:
        raise PushRejected(
            400, f"the body is not gzip ({error})",
            "leave Content-Encoding out, or compress it with gzip",
        ) from error  # fmt: skip
    return b"".join(parts)


def _unsnapped(body: bytes) -> bytes:
    size = _length_told(body)
    _check_size(size)
    try:
        return bytes(pa.decompress(body, decompressed_size=size, codec="snappy", asbytes=True))
    except (pa.ArrowException, OSError) as error:
        raise PushRejected(
            400, "the body is not a block of snappy",
            "compress it in snappy's block format, not the framed one",
        ) from error  # fmt: skip


def _length_told(body: bytes) -> int:
    """The unpacked length with which a snappy block begins, 7 bits a byte, lowest first."""
    size = 0
    for place, byte in enumerate(body[:5]):
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return size
    raise PushRejected(400, "the body is not a block of snappy", "compress it with snappy")


def _check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise PushRejected(
            413, f"the body is larger than {MAX_BODY_BYTES >> 20} MiB when it is unpacked",
            "send it in parts",
        )  # fmt: skip
