"""Connections of the site: their number, the time of a request's head, and readers that stall."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from storage.ipc.push_protocol import rejection_json
from web.http_errors import CLOSE, RETRY_AFTER
from web.operations import PROBLEM
from web.pace import Pace
from web.security_headers import HEADERS

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
    from uvicorn.server import ServerState

__all__ = ["LimitedProtocol", "backlog", "connection_limit"]

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 1024
# The head of a request has to be there so long after the connection or the response before it.
HEAD_S = 10.0
# A response is given up if fewer than WINDOW_BYTES are read in WINDOW_S, which is 1 kB/s.
WINDOW_S = 15.0
WINDOW_BYTES = 15_000
# To make room for another, a connection may be ended earlier: after IDLE_S without a request, or if
# WINDOW_BYTES of its response take longer than SLOW_S.
IDLE_S, SLOW_S = 0.1, 3.0
# Of all responses that are not read yet, in this process. The kernel buffers some more of each.
MAX_UNREAD_BYTES = 64 << 20
RETRY = "try again in some seconds"
UNREAD = "too many responses are not read yet"
# Under which a refusal is counted; another status is one of bytes that are not HTTP.
REASONS = {408: "stalled", 503: "overload"}


def connection_limit(descriptors: int) -> int:
    """The number of connections at a limit of descriptors: half, as the lake needs some too."""
    return min(MAX_CONNECTIONS, descriptors // 2)


def backlog(descriptors: int) -> int:
    """How many connections may be accepted at a time, before any can be refused."""
    return min(128, max(8, descriptors // 8))


class LimitedProtocol(H11Protocol):
    """An HTTP/1.1 connection within limits; `limit_concurrency` is the number of connections.

    Beyond it the connection without progress for the longest time is ended: one without a request,
    or one whose client does not read. If there is none, the new one is answered with 503.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._max_connections = config.limit_concurrency or MAX_CONNECTIONS
        self.limit_concurrency = None  # uvicorn's own answer has no Retry-After
        self._site, self.app = self.app, self._respond
        self._idle_since = 0.0
        self._unread = 0
        self._reading: Pace | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or refuse it."""
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        if len(self.connections) > self._max_connections and not self._end_idle():
            self.answer_at_once(503, "too many connections at once")

    def on_response_complete(self) -> None:
        """Start the time of the next request's head."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def resume_writing(self) -> None:
        """Go on with the response: enough of it was read."""
        self._reading = None
        super().resume_writing()

    def check(self, now: float) -> None:
        """End the connection if its request's head or its reader takes too long."""
        self._note_read(now)
        if self._reading is not None:
            self._idle_since = now  # the client is to read before it sends
            if now > self._reading.deadline:
                self.note_refusal("stalled", "the response was read too slowly")
                self.transport.abort()
        elif self._is_idle and not self.transport.is_closing() and now - self._idle_since > HEAD_S:
            self.end()

    @property
    def unread_bytes(self) -> int:
        """The bytes of responses that wait in this process."""
        return self.transport.get_write_buffer_size()

    def stalled_s(self, now: float) -> float:
        """For how long it could have been ended to make room; negative if it could not yet."""
        if self.unread_bytes:
            return now - self._reading.window_began - SLOW_S if self._reading else -1.0
        return now - self._idle_since - IDLE_S if self._is_idle else -1.0

    def end(self) -> None:
        """End a connection on which no request is handled; a started head is answered with 408."""
        if not self._is_idle or self.unread_bytes:
            self.transport.abort()
        elif self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            self.answer_at_once(408, f"the head of the request took longer than {HEAD_S:g} s")
        else:
            self.transport.close()

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _note_read(self, now: float) -> None:
        unread = self.unread_bytes
        if not unread:
            self._reading = None
        elif self._reading is None or unread > self._unread:
            self._reading = Pace(now, WINDOW_S, WINDOW_BYTES)
        elif unread < self._unread:
            self._reading.add(self._unread - unread, now)
        self._unread = unread

    def _others(self) -> Iterator[LimitedProtocol]:
        return (c for c in self.connections if isinstance(c, LimitedProtocol) and c is not self)

    def _end_idle(self) -> bool:
        """End the connection that stalled for the longest time; return False if none did."""
        open_ones = [c for c in self._others() if c.unread_bytes or not c.transport.is_closing()]
        reason = f"the limit of {self._max_connections} connections is reached"
        return self._end_first(open_ones, reason)

    def _end_reader(self) -> bool:
        """End the slowest reader of a response; return False if none is slow."""
        readers = [c for c in self._others() if c.unread_bytes]
        return self._end_first(readers, f"{MAX_UNREAD_BYTES >> 20} MiB of responses are not read")

    def _end_first(self, connections: list[LimitedProtocol], reason: str) -> bool:
        now = self.loop.time()
        stalled_s, first = max(
            ((c.stalled_s(now), c) for c in connections), key=lambda each: each[0],
            default=(-1.0, None),
        )  # fmt: skip
        if first is None or stalled_s < 0:
            return False
        log.warning("%s: ended one of %s that stalled", reason, (first.client or ("unknown",))[0])
        first.end()
        return True

    def note_refusal(self, reason: str, detail: str) -> None:
        """Count a refusal, where somebody counts them."""

    def answer_at_once(
        self,
        status: int,
        message: str,
        remedy: str = RETRY,
        headers: Mapping[str, str] = RETRY_AFTER,
    ) -> None:
        """Answer without an application, and close."""
        self.note_refusal(REASONS.get(status, "malformed"), message)
        body = rejection_json(status, message, remedy)
        response = h11.Response(
            status_code=status, headers=_headers(body, headers), reason=STATUS_PHRASES[status]
        )
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    async def _respond(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Handle a request once the response before it is read; 503 if too much is unread."""
        await self.flow.drain()
        if self.transport.is_closing():
            return
        refused = False

        async def bounded(message: ASGISendEvent) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and self._too_much_unread():
                refused = True
                self.note_refusal("overload", UNREAD)
                await _send_refusal(send)
            if not refused:
                await send(message)

        await self._site(scope, receive, bounded)

    def _too_much_unread(self) -> bool:
        connections = [c for c in self.connections if isinstance(c, LimitedProtocol)]
        if sum(c.unread_bytes for c in connections) < MAX_UNREAD_BYTES:
            return False
        return not self._end_reader()


async def _send_refusal(send: ASGISendCallable) -> None:
    body = rejection_json(503, UNREAD, RETRY)
    headers = _headers(body, RETRY_AFTER)
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _headers(body: bytes, more: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    headers = {
        "Content-Type": PROBLEM, "Content-Length": str(len(body)),
        "Cache-Control": "no-store", **HEADERS, **CLOSE, **more,
    }  # fmt: skip
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
