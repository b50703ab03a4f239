"""HTTP transport of the client: a deadline for the whole response, and JSON only."""

import time
from types import SimpleNamespace
from typing import Any

from elastic_transport import NodeConfig, SerializationError, TextSerializer, Urllib3HttpNode
from urllib3.exceptions import ReadTimeoutError

__all__ = ["DeadlineHttpNode", "JsonOnlySerializer"]

CHUNK_BYTES = 1 << 20


class DeadlineHttpNode(Urllib3HttpNode):
    """The client's own node; `timeout` bounds the whole response, not only each read from it."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self._urlopen = self.pool.urlopen
        self.pool.urlopen = self._read_within_timeout  # type: ignore[method-assign,assignment]

    def _read_within_timeout(self, method: str, target: str, timeout: float, **options: Any) -> Any:
        deadline = time.monotonic() + timeout
        response = self._urlopen(method, target, timeout=timeout, preload_content=False, **options)
        chunks = []
        while chunk := response.read1(CHUNK_BYTES):
            chunks.append(chunk)
            if time.monotonic() > deadline:
                response.close()
                raise ReadTimeoutError(self.pool, target, "the response took too long")
        response.release_conn()
        return SimpleNamespace(
            status=response.status, headers=response.headers, data=b"".join(chunks)
        )


class JsonOnlySerializer(TextSerializer):
    """Rejects text, such as an error page of a proxy, whatever its status."""

    def loads(self, data: bytes) -> str:
        """Raise SerializationError with the first 80 bytes of `data`."""
        beginning = data[:80].decode(errors="replace")
        raise SerializationError(f"text in place of JSON: {beginning!r}")
