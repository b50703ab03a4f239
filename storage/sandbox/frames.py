"""Messages between a sandbox and the process that started it, over two pipes.

A request is its length (4 bytes) and JSON. A reply is frames: a kind (1 byte), a length (4 bytes)
and so many bytes. ROWS frames together are an Arrow IPC stream; END or FAILED is the last frame.
"""

import io
import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "END", "FAILED", "FRAME", "READY", "ROWS", "Ended", "Failure", "FailureKind", "QueryRequest",
    "RowsSink", "deadline_failure", "read_request", "request_bytes", "write_frame",
]  # fmt: skip

READY, ROWS, END, FAILED = b"R", b"B", b"E", b"F"
FRAME = struct.Struct("!cI")
LENGTH = struct.Struct("!I")

FailureKind = Literal["refused", "failed", "deadline", "memory", "size", "unusable"]


class QueryRequest(msgspec.Struct, frozen=True):
    """One statement and its limits; its rows end before one of the two is passed."""

    sql: str
    max_rows: int
    max_bytes: int
    deadline_s: float


class Failure(msgspec.Struct, frozen=True):
    """Why there are no rows; `at` is the character in the statement, where it is known.

    After one that is `unusable` the sandbox runs nothing more.
    """

    kind: FailureKind
    message: str
    remedy: str | None = None
    at: int | None = None


def deadline_failure(request: QueryRequest) -> Failure:
    """The failure of a query that took too long."""
    return Failure(
        "deadline", f"the query was stopped after {request.deadline_s:g} s",
        "read fewer rows or a shorter time, or use 'hoursight sql', which has no limit",
    )  # fmt: skip


class Ended(msgspec.Struct, frozen=True):
    """The end of the rows; `truncated` says that there were more."""

    truncated: bool
    took_ms: float


def request_bytes(request: QueryRequest) -> bytes:
    """Return a request as it is sent."""
    body = msgspec.json.encode(request)
    return LENGTH.pack(len(body)) + body


def read_request(descriptor: int) -> QueryRequest | None:
    """Wait for the next request; None when no more can come."""
    header = _exactly(descriptor, LENGTH.size)
    if header is None:
        return None
    body = _exactly(descriptor, LENGTH.unpack(header)[0])
    return None if body is None else msgspec.json.decode(body, type=QueryRequest)


def write_frame(descriptor: int, kind: bytes, body: bytes = b"") -> None:
    """Write one frame whole."""
    for view in (memoryview(FRAME.pack(kind, len(body))), memoryview(body)):
        while view:
            view = view[os.write(descriptor, view) :]


class RowsSink(io.RawIOBase):
    """A file to which an Arrow stream is written; each piece becomes a frame."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, piece: "Buffer", /) -> int:
        """Write a frame of rows."""
        body = bytes(piece)
        write_frame(self._descriptor, ROWS, body)
        return len(body)


def _exactly(descriptor: int, size: int) -> bytes | None:
    pieces = list(_pieces(descriptor, size))
    whole = b"".join(pieces)
    return whole if len(whole) == size else None


def _pieces(descriptor: int, size: int) -> Iterator[bytes]:
    while size:
        piece = os.read(descriptor, min(size, 1 << 16))
        if not piece:
            return
        size -= len(piece)
        yield piece
