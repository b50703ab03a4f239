"""Live pages: one stream of events tells every open page which tables have changed."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from litestar import Litestar, get
from litestar.di import NamedDependency
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage

from storage.inbox.notify import table_changes

__all__ = ["Live", "live"]

log = logging.getLogger(__name__)

# At most two events a second to a page; what comes between is told together.
PAUSE_SECONDS = 0.5
# A comment now and then keeps proxies from closing a quiet stream.
HEARTBEAT_SECONDS = 15.0
REWATCH_SECONDS = 5.0
CHART_TABLES = frozenset({"metrics_5m", "forecasts", "models"})


class _OpenPage:
    """One open page: the tables that changed since it was last told."""

    def __init__(self) -> None:
        self.pending: set[str] = set()
        self.woken = asyncio.Event()

    def tell(self, tables: frozenset[str]) -> None:
        self.pending |= tables
        self.woken.set()

    async def wait(self, seconds: float) -> frozenset[str]:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.woken.wait(), seconds)
        told = frozenset(self.pending)
        self.pending.clear()
        self.woken.clear()
        return told


class Live:
    """Watches the writer's announcements and passes them on to the open pages."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._stop = asyncio.Event()
        self._pages: set[_OpenPage] = set()

    @asynccontextmanager
    async def watching(self, _: Litestar) -> AsyncIterator[None]:
        """Watch for as long as the site runs."""
        self._stop = asyncio.Event()
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self.close()
            await task

    def close(self) -> None:
        """End every stream, so that the server can stop at once."""
        self._stop.set()
        for page in self._pages:
            page.woken.set()

    async def events(self) -> AsyncIterator[ServerSentEventMessage]:
        """`changed` with the names of the tables, `charts` when what charts show has changed."""
        page = _OpenPage()
        self._pages.add(page)
        log.debug("a page is connected: %d now", len(self._pages))
        try:
            yield ServerSentEventMessage(event="hello", data="", retry=2000)
            while not self._stop.is_set():
                tables = await page.wait(HEARTBEAT_SECONDS)
                for message in _messages(tables):
                    yield message
                await self._pause(PAUSE_SECONDS if tables else 0)
        finally:
            self._pages.discard(page)
            log.debug("a page has left: %d now", len(self._pages))

    async def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                async for tables in table_changes(self._data, self._stop):
                    log.debug("commit received: %s", ", ".join(sorted(tables)))
                    for page in self._pages:
                        page.tell(tables)
            except (OSError, RuntimeError):  # the folder cannot be watched
                log.exception("cannot watch %s: pages renew themselves every 15 s", self._data)
                await self._pause(REWATCH_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


def _messages(tables: frozenset[str]) -> list[ServerSentEventMessage]:
    if not tables:
        return [ServerSentEventMessage(comment="still here", data=None)]
    names = " ".join(sorted(tables))
    messages = [ServerSentEventMessage(event="changed", data=names)]
    if tables & CHART_TABLES:
        messages.append(ServerSentEventMessage(event="charts", data=names))
    return messages


@get("/live", summary="Server-sent events: which tables have changed")
async def live(live: NamedDependency[Live]) -> ServerSentEvent:
    """An endless stream; each event names the tables that a commit changed."""
    return ServerSentEvent(live.events())
