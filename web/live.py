"""Live updates: server-sent events that name the tables which a commit changed."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from litestar import Litestar, Request, get
from litestar.di import NamedDependency
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage

from storage.inbox.notify import table_changes
from storage.platform.durability import disk_state
from web.http_errors import Overloaded
from web.operations import answering

__all__ = ["LiveUpdates", "live_events"]

log = logging.getLogger(__name__)

# At most two events per second and page; changes in between are sent together.
PAUSE_SECONDS = 0.5
# Proxies close a stream without traffic.
HEARTBEAT_SECONDS = 15.0
REWATCH_SECONDS = 5.0
# Each page has one; a page without one refreshes every 15 s.
MAX_STREAMS = 256
# A stream ends so soon after its key is revoked.
ACCESS_SECONDS = 2.0
DISK_SECONDS = 2.0
CHART_TABLES = frozenset({"metrics_5m", "forecasts", "models"})


class _OpenPage:
    """One connected page and the tables that changed since its last event."""

    def __init__(self, sender: str) -> None:
        self.sender = sender
        self.ended = False
        self.pending: set[str] = set()
        self.wake = asyncio.Event()

    def notify(self, tables: frozenset[str]) -> None:
        self.pending |= tables
        self.wake.set()

    def end(self) -> None:
        """End the stream; the page connects again."""
        self.ended = True
        self.wake.set()

    async def wait(self, seconds: float) -> frozenset[str]:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.wake.wait(), seconds)
        tables = frozenset(self.pending)
        self.pending.clear()
        self.wake.clear()
        return tables


class LiveUpdates:
    """Watches the writer's announcements and forwards them to the open pages."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._stop = asyncio.Event()
        self._pages: dict[_OpenPage, None] = {}  # in the order in which they came
        self.max_streams = MAX_STREAMS

    @asynccontextmanager
    async def watching(self, _: Litestar) -> AsyncIterator[None]:
        """Lifespan context: watch while the site is running."""
        self._stop = asyncio.Event()
        tasks = [asyncio.create_task(each) for each in (self._watch(), self._watch_disk())]
        try:
            yield
        finally:
            self.close()
            await asyncio.gather(*tasks)

    def close(self) -> None:
        """End every stream, so that the server can stop immediately."""
        self._stop.set()
        for page in self._pages:
            page.wake.set()

    def make_room(self, sender: str) -> None:
        """End a stream of the address that has the most, if no more may be opened.

        Raise Overloaded if that is the address of `sender` itself.
        """
        if len(self._pages) < self.max_streams:
            return
        [(address, _)] = Counter(page.sender for page in self._pages).most_common(1)
        if address == sender:
            raise Overloaded(
                f"{self.max_streams} live streams are open, most of them from {sender}",
                "close pages; one without a live stream refreshes every 15 s",
            )
        log.warning("%d live streams are open: ended one of %s", len(self._pages), address)
        oldest = next(page for page in self._pages if page.sender == address)
        self._close(oldest)

    def _close(self, page: _OpenPage) -> None:
        self._pages.pop(page, None)
        page.end()

    async def events(
        self, has_access: Callable[[], bool] = lambda: True, sender: str = ""
    ) -> AsyncIterator[ServerSentEventMessage]:
        """Yield `changed` with the names of the tables, and `charts` when charts are affected.

        End when the page has no longer access.
        """
        page = _OpenPage(sender)
        self._pages[page] = None
        log.debug("page connected, %d open", len(self._pages))
        try:
            yield ServerSentEventMessage(event="hello", data="", retry=2000)
            while True:
                tables = await self._changes(page, has_access)
                if tables is None:
                    return
                for message in _messages(tables):
                    yield message
                await self._pause(PAUSE_SECONDS if tables else 0)
        finally:
            self._pages.pop(page, None)
            log.debug("page disconnected, %d open", len(self._pages))

    async def _changes(
        self, page: _OpenPage, has_access: Callable[[], bool]
    ) -> frozenset[str] | None:
        """Return what changed until the next heartbeat; None if the stream is to end."""
        heartbeat = asyncio.get_running_loop().time() + HEARTBEAT_SECONDS
        while not (self._stop.is_set() or page.ended) and has_access():
            tables = await page.wait(ACCESS_SECONDS)
            if tables or asyncio.get_running_loop().time() >= heartbeat:
                return tables if has_access() else None
        return None

    async def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                async for tables in table_changes(self._data, self._stop):
                    log.debug("commit received: %s", ", ".join(sorted(tables)))
                    for page in self._pages:
                        page.notify(tables)
            except (
                OSError,
                RuntimeError,
            ):  # the folder is missing or the limit of inotify watches is reached
                log.exception("cannot watch %s: pages refresh every 15 s instead", self._data)
                await self._pause(REWATCH_SECONDS)

    async def _watch_disk(self) -> None:
        """Refresh the pages when the disk becomes full, or has room again."""
        before = disk_state(self._data)
        while not self._stop.is_set():
            await self._pause(DISK_SECONDS)
            state = disk_state(self._data)
            if state != before:
                before = state
                log.warning("%s", state) if state else log.info("the disk has room again")
                for page in self._pages:
                    page.notify(frozenset({"disk"}))

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


def _messages(tables: frozenset[str]) -> list[ServerSentEventMessage]:
    if not tables:
        return [ServerSentEventMessage(comment="keep-alive", data=None)]
    names = " ".join(sorted(tables))
    messages = [ServerSentEventMessage(event="changed", data=names)]
    if tables & CHART_TABLES:
        messages.append(ServerSentEventMessage(event="charts", data=names))
    return messages


@get(
    "/live", summary="Server-sent events: the tables that changed",
    operation_class=answering("text/event-stream"),
)  # fmt: skip
async def live_events(
    request: Request[Any, Any, Any], live: NamedDependency[LiveUpdates]
) -> ServerSentEvent:
    """Stream until the key is revoked; each event names the tables that a commit changed.

    503: too many streams are open.
    """
    auth, sender = request.app.state.auth, request.client.host if request.client else ""
    live.make_room(sender)
    return ServerSentEvent(live.events(lambda: auth.grants(request, "read"), sender))
