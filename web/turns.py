"""Turns: at most so many requests of a kind at a time; the others wait in their order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar.types import ASGIApp, Receive, Scope, Send

from web.http_errors import CLOSE, Overloaded

__all__ = ["Turns", "limiting_exports"]


class Turns:
    """Limits the requests of a kind, called `what`, that are handled at a time.

    Those beyond `limit` wait for their turn, at most `max_waiting` of them for `max_wait_s`.
    """

    def __init__(self, what: str, limit: int, max_waiting: int, max_wait_s: float) -> None:
        self.limit, self.max_waiting, self.max_wait_s = limit, max_waiting, max_wait_s
        self.running = 0
        self._what = what
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Count a request within the context.

        Raise Overloaded if no turn comes, or too many wait already: Prometheus and
        Telegraf's `outputs.influxdb` drop what is answered with 429.
        """
        await self._turn()
        try:
            yield
        finally:
            self._leave()

    async def _turn(self) -> None:
        """Return when the request may be handled; it is counted then."""
        if self._has_room() and not self._waiting:
            self.running += 1
            return
        if len(self._waiting) >= self.max_waiting:
            raise self._overloaded()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self.max_wait_s):
                await turn
        except TimeoutError:
            self._give_up(turn)
            raise self._overloaded() from None
        except asyncio.CancelledError:
            self._give_up(turn)
            raise

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif not turn.cancelled():  # the turn came together with the end of the wait
            self._leave()

    def _leave(self) -> None:
        """Take a request off the count, and let the next ones in."""
        self.running -= 1
        while self._waiting and self._has_room():
            turn = self._waiting.popleft()
            if not turn.done():
                self.running += 1
                turn.set_result(None)

    def _has_room(self) -> bool:
        return self.running < self.limit

    def _overloaded(self) -> Overloaded:
        return Overloaded(f"too many {self._what} at once")


def limiting_exports(turns: Turns, extensions: tuple[str, ...], app: ASGIApp) -> ASGIApp:
    """Return `app` as middleware in which paths with these extensions take turns."""
    endings = tuple(f".{extension}" for extension in extensions)

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].endswith(endings):
            await app(scope, receive, send)
            return
        try:
            async with turns.turn():
                await app(scope, receive, send)
        except Overloaded as error:
            error.headers = {**(error.headers or {}), **CLOSE}  # there may be more of them
            raise

    return limited
