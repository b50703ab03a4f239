"""Worker protocol: the messages between a process and its worker, each a frame of MessagePack.

Rows travel inside as Arrow streams. What is not a message raises InvalidMessage.
"""

import struct
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from functions.engine.executors.function_call import CallRequest, CallResult, Cost
from functions.engine.function import Declared, hash_of
from storage.errors import HoursightError

__all__ = [
    "CallMessage", "CallReply", "CodeSource", "InvalidMessage", "LoadMessage", "LoadReply",
    "Message", "MessageReader", "Raised", "packed",
]  # fmt: skip

_HEAD = struct.Struct("<4sQ")
_MAGIC = b"hrs2"
MAX_BYTES = 1 << 30


class InvalidMessage(HoursightError):
    """The bytes are not a message of this protocol."""


class CodeSource(msgspec.Struct, frozen=True):
    """Where functions come from: a module, or a user's file at `path` with the content `text`.

    A file with a `refusal`, which says why, was not read and is never loaded.
    """

    module: str | None = None
    path: str | None = None
    text: bytes = b""
    refusal: str = ""

    @property
    def name(self) -> str:
        """Return the name of the module or of the file."""
        return Path(self.path).stem if self.path else str(self.module).rpartition(".")[2]

    @property
    def code_hash(self) -> str | None:
        """Return the fingerprint of a user's file; None for a module."""
        return hash_of(self.text + self.refusal.encode()) if self.path else None


class Raised(msgspec.Struct, frozen=True):
    """An error of ours as it crosses a process boundary: known by its class and its flag."""

    kind: str  # name of the class
    message: str
    remedy: str | None = None
    retryable: bool = False

    @classmethod
    def of(cls, error: BaseException) -> "Raised | None":
        """Return what crosses of an error; None for one that is not of ours."""
        if not isinstance(error, HoursightError):
            return None
        return cls(type(error).__name__, error.message, error.remedy, error.retryable)

    def is_a(self, kind: type[HoursightError]) -> bool:
        """Return True if the error was of exactly this class."""
        return self.kind == kind.__name__


class LoadMessage(msgspec.Struct, frozen=True, tag="load"):
    """The first message to a worker: what to load, the data folder, the settings (MessagePack)."""

    source: CodeSource
    data: str
    settings: bytes


class LoadReply(msgspec.Struct, frozen=True, tag="loaded"):
    """The functions of a source, or why it cannot be loaded; `warnings` are for its author."""

    functions: tuple[Declared, ...] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()


class CallMessage(msgspec.Struct, frozen=True, tag="call"):
    """Call a loaded function; the reply has the same `number`, and log lines have `run_id`."""

    number: int
    name: str
    request: CallRequest
    run_id: str | None = None


class CallReply(msgspec.Struct, frozen=True, tag="called"):
    """The result of a call, or its outcome and error when there is none."""

    number: int
    cost: Cost
    result: CallResult | None = None
    outcome: str = "ok"
    error: str | None = None
    raised: Raised | None = None


Message = LoadMessage | CallMessage | LoadReply | CallReply


def packed(message: Message) -> bytes:
    """Return a message as it is sent. Raises TypeError for values that cannot travel."""
    body = _ENCODER.encode(message)
    return _HEAD.pack(_MAGIC, len(body)) + body


class MessageReader:
    """Puts one message together from the bytes that arrive. Raises InvalidMessage."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._size: int | None = None

    def add(self, more: bytes) -> Message | None:
        """Return the message once it is complete, else None."""
        self._bytes += more
        if self._size is None:
            self._size = self._read_head()
        if self._size is None or len(self._bytes) < _HEAD.size + self._size:
            return None
        if len(self._bytes) > _HEAD.size + self._size:
            raise InvalidMessage(
                f"{len(self._bytes) - _HEAD.size - self._size} bytes follow the message"
            )
        try:
            message: Message = _DECODER.decode(memoryview(self._bytes)[_HEAD.size :])
        except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
            raise InvalidMessage(str(error)) from error
        return message

    def _read_head(self) -> int | None:
        if len(self._bytes) < _HEAD.size:
            return None
        magic, size = _HEAD.unpack_from(self._bytes)
        if magic != _MAGIC:
            raise InvalidMessage("something else than a message came")
        if size > MAX_BYTES:
            raise InvalidMessage(f"the message has {size >> 20} MB (expected {MAX_BYTES >> 20})")
        return int(size)


def _encode(value: Any) -> Any:
    if isinstance(value, pa.Table):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as stream:
            stream.write_table(value)
        return memoryview(sink.getvalue())
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot be sent to another process")


def _decode(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    rows = pa.ipc.open_stream(value).read_all()
    rows.validate(full=True)
    return rows


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_encode)
_DECODER = msgspec.msgpack.Decoder(Message, dec_hook=_decode)
