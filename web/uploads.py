"""Limits on request bodies while they are received: their time, their number and their memory."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from functools import partial

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, Receive, Scope, Send

from web.http_errors import HttpRejection, Overloaded
from web.pace import Pace

__all__ = ["BodyStalled", "Uploads", "limiting_uploads"]

# A body is given up if fewer than WINDOW_BYTES arrive in WINDOW_S, which is 1 kB/s.
WINDOW_S = 10.0
WINDOW_BYTES = 10_000
# Enough for the largest push, 16 MiB, at 60 kB/s.
WHOLE_S = 300.0
# One that takes longer for WINDOW_BYTES may be ended earlier, if another needs its room: at 20 kB/s
# it takes half a second, and a site that is busy reads with delay.
SLOW_AFTER_S = 3.0
TOO_SLOW = (
    f"the body arrived at less than {WINDOW_BYTES / WINDOW_S / 1000:g} kB/s, or "
    f"{WINDOW_BYTES / SLOW_AFTER_S / 1000:.0f} kB/s while others waited, or took longer than "
    f"{WHOLE_S:g} s"
)
MAX_UPLOADS = 256
MAX_PER_SENDER = 64
# Telegraf and the OpenTelemetry collector give a request up after 5 s.
MAX_WAIT_S = 4.0
CHECK_EVERY_S = 0.1
# Of all bodies that are being received or handled.
MAX_BYTES = 64 << 20


class BodyStalled(HttpRejection):
    """The body did not arrive in time."""

    def __init__(self, status_code: int = 408, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(
            status_code, TOO_SLOW, "send it again, in smaller parts if the link is slow", headers
        )


class Uploads:
    """The bodies of all requests, from their first byte until the response is sent."""

    def __init__(self) -> None:
        self.bytes = 0
        self.max_uploads = MAX_UPLOADS
        self._receiving: set[_Upload] = set()

    async def begin(self, upload: "_Upload") -> None:
        """Count a body that is not there yet; end a slow one if there are too many.

        Raise Overloaded if none is slow within MAX_WAIT_S.
        """
        senders = Counter(other.sender for other in self._receiving)
        if senders[upload.sender] >= MAX_PER_SENDER:
            self._end_slowest(upload.sender)
        give_up = _now() + MAX_WAIT_S
        while len(self._receiving) >= self.max_uploads and not self._end_slowest():
            if _now() >= give_up:
                raise _overloaded()
            await asyncio.sleep(CHECK_EVERY_S)
        self._receiving.add(upload)

    def add(self, size: int) -> None:
        """Count bytes of a body; raise Overloaded if there is no memory for them."""
        if self.bytes + size > MAX_BYTES and not self._end_slowest(at_least=size):
            raise _overloaded()
        self.bytes += size

    def finish(self, upload: "_Upload") -> None:
        """Note that a body is whole or given up; its bytes stay counted."""
        self._receiving.discard(upload)

    def _end_slowest(self, sender: str | None = None, at_least: int = 0) -> bool:
        """End the slowest body; return False if none is slow."""
        slow = [
            upload for upload in self._receiving
            if upload.is_slow and sender in (None, upload.sender) and upload.bytes >= at_least
        ]  # fmt: skip
        if not slow:
            return False
        first = min(slow, key=lambda upload: upload.pace.window_began)
        self._receiving.discard(first)
        first.end()
        return True


class _Upload:
    """One body, which is waited for as long as it arrives at its pace."""

    def __init__(self, uploads: Uploads, sender: str) -> None:
        self.sender = sender
        self.bytes = 0
        self.pace = _pace()
        self._uploads = uploads
        self._begun = self._whole = self._ended = False
        self._timeout: asyncio.Timeout | None = None

    @property
    def is_slow(self) -> bool:
        """Whether WINDOW_BYTES take longer than SLOW_AFTER_S."""
        return _now() - self.pace.window_began >= SLOW_AFTER_S

    def end(self) -> None:
        """Let the wait for the next part fail now."""
        self._ended = True
        if self._timeout is not None:
            self._timeout.reschedule(_now())

    async def receive(self, receive: Receive) -> HTTPReceiveMessage:
        """The next part; raise BodyStalled at the deadline, and Overloaded without room."""
        if self._whole:
            return await receive()  # type: ignore[return-value] # only HTTP requests are limited
        if not self._begun:
            await self._uploads.begin(self)
            self._begun, self.pace = True, _pace()
        message = await self._in_time(receive)
        if message["type"] == "http.request":
            self._count(len(message["body"]))
        if message["type"] != "http.request" or not message["more_body"]:
            self._whole = True
            self._uploads.finish(self)
        return message

    def release(self) -> None:
        """Take the body off all counts."""
        self._uploads.finish(self)
        self._uploads.bytes -= self.bytes

    async def _in_time(self, receive: Receive) -> HTTPReceiveMessage:
        deadline = 0 if self._ended else self.pace.deadline
        try:
            async with asyncio.timeout_at(deadline) as self._timeout:
                return await receive()  # type: ignore[return-value]
        except TimeoutError:
            raise BodyStalled from None
        finally:
            self._timeout = None

    def _count(self, size: int) -> None:
        self._uploads.add(size)
        self.bytes += size
        self.pace.add(size, _now())


def limiting_uploads(uploads: Uploads, app: ASGIApp) -> ASGIApp:
    """Return `app` as middleware that receives the bodies of requests within the limits."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        client = scope["client"]
        upload = _Upload(uploads, client[0] if client else "an unknown address")
        try:
            await app(scope, partial(upload.receive, receive), send)
        finally:
            upload.release()

    return limited


def _pace() -> Pace:
    return Pace(_now(), WINDOW_S, WINDOW_BYTES, WHOLE_S)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _overloaded() -> Overloaded:
    return Overloaded("too many requests with bodies at once")
