"""Protocol between the site, which receives pushed rows, and the collector, which writes them.

A push is sent as a line of JSON (kind, encoding, parameters), followed by the body as received.
"""

from http import HTTPStatus
from typing import Any

import msgspec

from storage.ipc.decoding import decode_json
from storage.platform.printable import printable_json

__all__ = ["MAX_PUSH_BYTES", "MAX_SENT_BYTES", "Push", "rejection_json"]

# Of the body as received, usually compressed.
MAX_SENT_BYTES = 16 << 20
# With the line of JSON.
MAX_PUSH_BYTES = MAX_SENT_BYTES + (1 << 16)


# Of the URL. The others are not kept: writers of InfluxDB v1 send their password as `p`.
PARAMETERS = frozenset({"precision", "time"})


class Push(msgspec.Struct, frozen=True, omit_defaults=True):
    """Pushed rows: the protocol (`kind`), the body, its compression and the URL's PARAMETERS.

    `sender` is the remote address and the program that sent it, as far as it says so; `peer` is the
    address of the connection, an IPv6 address as its /64 network.
    """

    kind: str
    body: bytes = b""
    encoding: str = "identity"
    parameters: dict[str, str] = {}
    sender: str = ""
    peer: str = ""

    def __post_init__(self) -> None:
        known = {name: self.parameters[name] for name in PARAMETERS & self.parameters.keys()}
        msgspec.structs.force_setattr(self, "parameters", known)

    def packed(self) -> bytes:
        """The push as bytes."""
        return msgspec.json.encode(msgspec.structs.replace(self, body=b"")) + b"\n" + self.body

    @classmethod
    def unpacked(cls, sent: bytes) -> "Push":
        """The reverse of `packed`. Raises InvalidJson."""
        head, _, body = sent.partition(b"\n")
        return msgspec.structs.replace(decode_json(head, cls), body=body)


def rejection_json(status_code: int, message: str, remedy: str = "", **more: Any) -> bytes:
    """The JSON body of an error: a problem as RFC 9457 has it, with its remedy.

    Clients of InfluxDB show `message` or `error`.
    """
    whole = f"{message}: {remedy}" if remedy else message
    title = HTTPStatus(status_code).phrase
    body = {
        "type": "about:blank", "title": title, "status": status_code, "detail": message,
        "remedy": remedy, "status_code": status_code, "code": title.lower(), "message": whole,
        "error": whole,
    }  # fmt: skip
    return printable_json(msgspec.json.encode(body | more).decode()).encode()
