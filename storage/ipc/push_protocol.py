"""What the site hands over when rows are pushed to it, and how it is told that they are not taken.

A push travels as a line of JSON, which says what it is, and the body as it came.
"""

from http import HTTPStatus
from typing import Any

import msgspec

from storage.ipc.decoding import decode_json

__all__ = ["MAX_PUSH_BYTES", "MAX_SENT_BYTES", "Push", "rejection_json"]

# As sent, which is mostly compressed.
MAX_SENT_BYTES = 16 << 20
# With the line before it.
MAX_PUSH_BYTES = MAX_SENT_BYTES + (1 << 16)


class Push(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request to take rows: its `kind`, how the body is compressed, and its parameters."""

    kind: str
    body: bytes = b""
    encoding: str = "identity"
    parameters: dict[str, str] = {}

    def packed(self) -> bytes:
        """The bytes that travel."""
        return msgspec.json.encode(msgspec.structs.replace(self, body=b"")) + b"\n" + self.body

    @classmethod
    def unpacked(cls, sent: bytes) -> "Push":
        """The reverse of `packed`. Raises InvalidJson."""
        head, _, body = sent.partition(b"\n")
        return msgspec.structs.replace(decode_json(head, cls), body=body)


def rejection_json(status_code: int, message: str, remedy: str = "", **more: Any) -> bytes:
    """The JSON of a refusal; clients of InfluxDB show its `message` or `error`."""
    whole = f"{message}: {remedy}" if remedy else message
    told = {
        "status_code": status_code, "code": HTTPStatus(status_code).phrase.lower(),
        "detail": message, "remedy": remedy, "message": whole, "error": whole,
    }  # fmt: skip
    return msgspec.json.encode(told | more)
