"""HTTP transport of the client: a deadline and a size for the whole response, and JSON only."""

import time
from types import SimpleNamespace
from typing import Any

from elastic_transport import NodeConfig, SerializationError, TextSerializer, Urllib3HttpNode
from urllib3.exceptions import HTTPError, ReadTimeoutError

from functions.connectors.bounded_answer import unpacker

__all__ = ["TOO_LARGE", "DeadlineHttpNode", "JsonOnlySerializer"]

CHUNK_BYTES = 1 << 20
MAX_ANSWER_BYTES = 64 << 20  # unpacked; the documents of a page take several times as much
TOO_LARGE = f"the response is larger than {MAX_ANSWER_BYTES >> 20} MiB"


class DeadlineHttpNode(Urllib3HttpNode):
    """The client's own node; `timeout` bounds the whole response, not only each read from it.

    What is larger than MAX_ANSWER_BYTES is not read to its end.
    """

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self._urlopen = self.pool.urlopen
        self.pool.urlopen = self._read_within_timeout  # type: ignore[method-assign,assignment]

    def _read_within_timeout(self, method: str, target: str, timeout: float, **options: Any) -> Any:
        deadline = time.monotonic() + timeout
        response = self._urlopen(method, target, timeout=timeout, preload_content=False, **options)
        unpack, body = unpacker(response.headers.get("content-encoding", "")), bytearray()
        while chunk := response.read1(CHUNK_BYTES, decode_content=False):
            body += unpack(chunk, MAX_ANSWER_BYTES + 1 - len(body))
            if len(body) > MAX_ANSWER_BYTES:
                response.close()
                raise HTTPError(TOO_LARGE)
            if time.monotonic() > deadline:
                response.close()
                raise ReadTimeoutError(self.pool, target, "the response took too long")
        response.release_conn()
        return SimpleNamespace(status=response.status, headers=response.headers, data=bytes(body))


class JsonOnlySerializer(TextSerializer):
    """Rejects text, such as an error page of a proxy, whatever its status."""

    def loads(self, data: bytes) -> str:
        """Raise SerializationError with the first 80 bytes of `data`."""
        beginning = data[:80].decode(errors="replace")
        raise SerializationError(f"text in place of JSON: {beginning!r}")
