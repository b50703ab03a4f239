"""What goes between a process and its child: messages of a few blobs, and a batch as one."""

import struct
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from functions.engine.function import Batch, Declared, hash_of
from storage.errors import HoursightError

__all__ = [
    "CallMessage",
    "CallReply",
    "CodeSource",
    "InvalidMessage",
    "LoadMessage",
    "LoadReply",
    "Message",
    "MessageReader",
    "Raised",
    "batch_of",
    "blobs_of",
    "packed",
]  # fmt: skip

_HEAD = struct.Struct("<4sI")
_SIZE = struct.Struct("<Q")
_MAGIC = b"hrs1"
MAX_BLOBS = 64
MAX_BYTES = 1 << 30


class InvalidMessage(HoursightError):
    """What came is no message of ours."""


class CodeSource(msgspec.Struct, frozen=True):
    """Where functions come from: a module, or a user's file at `path`, which holds `text`."""

    module: str | None = None
    path: str | None = None
    text: bytes = b""

    @property
    def name(self) -> str:
        """The name of the module or of the file."""
        return Path(self.path).stem if self.path else str(self.module).rpartition(".")[2]

    @property
    def code_hash(self) -> str | None:
        """Fingerprint of a user's file."""
        return hash_of(self.text) if self.path else None


class LoadMessage(msgspec.Struct, frozen=True, tag="load"):
    """The first word to a child: what to load, the data folder and the settings (msgpack)."""

    source: CodeSource
    data: str
    settings: bytes


class CallMessage(msgspec.Struct, frozen=True, tag="call"):
    """Call a function of those that were loaded; the answer comes back under `number`.

    What the function logs carries `run_id`.
    """

    number: int
    name: str
    now: datetime
    cursor: str | None
    paths: tuple[str, ...]
    body: Any
    run_id: str | None = None


class LoadReply(msgspec.Struct, frozen=True, tag="loaded"):
    """What a source holds, or why it cannot be loaded; `warnings` are for whoever wrote it."""

    functions: tuple[Declared, ...] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()


class Raised(msgspec.Struct, frozen=True):
    """An error of ours as it crosses a process border: told apart by its class and its flag."""

    kind: str  # name of the class
    message: str
    remedy: str | None = None
    retryable: bool = False

    @classmethod
    def of(cls, error: BaseException) -> "Raised | None":
        """What crosses of an error; None for one that is not of ours."""
        if not isinstance(error, HoursightError):
            return None
        return cls(type(error).__name__, error.message, error.remedy, error.retryable)

    def is_a(self, kind: type[HoursightError]) -> bool:
        """Whether the error was of exactly this class."""
        return self.kind == kind.__name__


class CallReply(msgspec.Struct, frozen=True, tag="called"):
    """How a call went; the rows follow as a blob for each of `tables`."""

    number: int
    cpu_s: float
    peak_rss_mb: float
    outcome: str = "ok"
    error: str | None = None
    raised: Raised | None = None
    tables: tuple[str, ...] = ()
    cursor: str | None = None
    window_key: str | None = None
    model: str | None = None
    snapshot: int | None = None
    rows_in: int = 0
    more: bool = False
    refused: int = 0
    reasons: tuple[str, ...] = ()


Message = LoadMessage | CallMessage | LoadReply | CallReply


def packed(message: Message, blobs: Sequence[bytes] = ()) -> bytes:
    """A message and its blobs as they go over the wire."""
    parts = [msgspec.msgpack.encode(message), *blobs]
    sizes = b"".join(_SIZE.pack(len(part)) for part in parts)
    return b"".join([_HEAD.pack(_MAGIC, len(parts)), sizes, *parts])


class MessageReader:
    """Puts a message together from what comes; raises InvalidMessage for anything else."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._sizes: tuple[int, ...] = ()

    def add(self, more: bytes) -> tuple[Message, list[bytes]] | None:
        """The message, once it is whole."""
        self._bytes += more
        self._read_head()
        start = _HEAD.size + _SIZE.size * len(self._sizes)
        if not self._sizes or len(self._bytes) < start + sum(self._sizes):
            return None
        parts = []
        for size in self._sizes:
            parts.append(bytes(self._bytes[start : start + size]))
            start += size
        if len(self._bytes) > start:
            raise InvalidMessage("more came than was asked for")
        try:
            return msgspec.msgpack.decode(parts[0], type=Message), parts[1:]
        except (ValueError, RecursionError) as error:
            raise InvalidMessage(str(error)) from error

    def _read_head(self) -> None:
        if self._sizes or len(self._bytes) < _HEAD.size:
            return
        magic, count = _HEAD.unpack_from(self._bytes)
        if magic != _MAGIC or not 1 <= count <= MAX_BLOBS:
            raise InvalidMessage("something else than a message came")
        if len(self._bytes) < _HEAD.size + _SIZE.size * count:
            return
        sizes = tuple(
            _SIZE.unpack_from(self._bytes, _HEAD.size + _SIZE.size * i)[0] for i in range(count)
        )
        if sum(sizes) > MAX_BYTES:
            raise InvalidMessage(f"the answer is larger than {MAX_BYTES >> 20} MB")
        self._sizes = sizes


def blobs_of(batch: Batch) -> list[bytes]:
    """The rows of a batch as Arrow streams, in the order of its tables."""
    return [_stream(rows) for rows in batch.rows.values()]


def batch_of(called: CallReply, blobs: Sequence[bytes]) -> Batch:
    """The reverse; InvalidMessage when the blobs are no rows."""
    try:
        rows = {
            name: pa.ipc.open_stream(blob).read_all()
            for name, blob in zip(called.tables, blobs, strict=True)
        }
        for each in rows.values():
            each.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidMessage(f"its rows cannot be read: {error}") from error
    return Batch(
        rows, called.cursor, called.window_key, called.model, called.more, called.refused,
        called.reasons,
    )  # fmt: skip


def _stream(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return bytes(sink.getvalue())
