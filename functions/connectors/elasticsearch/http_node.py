"""How answers are taken: within a time, and as JSON only."""

import time
from types import SimpleNamespace
from typing import Any

from elastic_transport import NodeConfig, SerializationError, TextSerializer, Urllib3HttpNode
from urllib3.exceptions import ReadTimeoutError

__all__ = ["DeadlineHttpNode", "JsonOnlySerializer"]

PIECE_BYTES = 1 << 20


class DeadlineHttpNode(Urllib3HttpNode):
    """The client's own, but that an answer which drips in does not hold a run up for ever."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self._open = self.pool.urlopen
        self.pool.urlopen = self._whole  # type: ignore[method-assign,assignment]

    def _whole(self, method: str, target: str, timeout: float, **options: Any) -> Any:
        give_up = time.monotonic() + timeout
        response = self._open(method, target, timeout=timeout, preload_content=False, **options)
        pieces = []
        while piece := response.read1(PIECE_BYTES):
            pieces.append(piece)
            if time.monotonic() > give_up:
                response.close()
                raise ReadTimeoutError(self.pool, target, "the answer came too slowly")
        response.release_conn()
        return SimpleNamespace(
            status=response.status, headers=response.headers, data=b"".join(pieces)
        )


class JsonOnlySerializer(TextSerializer):
    """Text, such as the page of a proxy, is no answer, whatever its status."""

    def loads(self, data: bytes) -> str:
        """Refuse it, with how it begins."""
        begins = data[:80].decode(errors="replace")
        raise SerializationError(f"text in the place of JSON: {begins!r}")
