"""The event stream that updates open pages."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from litestar import Litestar
from litestar.response.sse import ServerSentEventMessage
from litestar.testing import TestClient

from scripts.ports import free_port
from storage.config.api_keys import create_key, revoke_key
from storage.config.folders import Folders
from storage.inbox.notify import notify
from tests.conftest import NOW
from tests.web.raw_site import serving
from web import live as live_module
from web.__main__ import SiteServer
from web.app import create_app
from web.http_errors import Overloaded
from web.live import LiveUpdates, _OpenPage

SOON = 10.0


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


@asynccontextmanager
async def watching(
    data: Path,
) -> AsyncIterator[tuple[LiveUpdates, AsyncIterator[ServerSentEventMessage]]]:
    """A watched folder and the events of one page that is open on it."""
    Folders.at(data).create()
    live = LiveUpdates(data)
    async with live.watching(Litestar()):
        events = live.events()
        assert (await anext(events)).event == "hello"
        yield live, events
        await events.aclose()  # type: ignore[attr-defined]


async def announced(folders: Folders, events: AsyncIterator[Any], *tables: str) -> Any:
    """Announce until the watcher, which starts in its own thread, has seen it."""
    coming = asyncio.ensure_future(anext(events))
    while not coming.done():
        notify(folders, tables)
        await asyncio.wait([coming], timeout=0.1)
    return coming.result()


def test_a_commit_is_an_event_with_the_names_of_its_tables(tmp_path: Path) -> None:
    async def test() -> None:
        async with watching(tmp_path) as (_, events):
            message = await announced(Folders.at(tmp_path), events, "metrics", "risks")
            assert message.event == "changed"
            assert set(message.data.split()) <= {"metrics", "risks"}

    run(test())


def test_chart_data_are_announced_by_an_event_of_their_own(tmp_path: Path) -> None:
    async def test() -> None:
        async with watching(tmp_path) as (_, events):
            assert (await announced(Folders.at(tmp_path), events, "metrics_5m")).event == "changed"
            assert (await asyncio.wait_for(anext(events), SOON)).event == "charts"

    run(test())


def test_streams_end_when_the_site_stops(tmp_path: Path) -> None:
    async def test() -> None:
        async with watching(tmp_path) as (live, events):
            last = asyncio.ensure_future(anext(events, None))
            await asyncio.sleep(0)
            live.close()
            while await asyncio.wait_for(last, SOON) is not None:
                last = asyncio.ensure_future(anext(events, None))

    run(test())


def test_beyond_the_limit_the_address_with_the_most_streams_gives_one_up(tmp_path: Path) -> None:
    async def test() -> None:
        live = LiveUpdates(tmp_path)
        live.max_streams = 3
        streams = [live.events(sender=sender) for sender in ("10.0.0.1", "10.0.0.2", "10.0.0.2")]
        for stream in streams:
            live.make_room("10.0.0.2")
            await anext(stream)
        with pytest.raises(Overloaded, match="3 live streams are open, most of them from 10"):
            live.make_room("10.0.0.2")
        live.make_room("10.0.0.1")
        assert [page.sender for page in live._pages] == ["10.0.0.1", "10.0.0.2"]
        while await asyncio.wait_for(anext(streams[1], None), SOON) is not None:
            pass

    run(test())


def test_a_stream_ends_soon_after_its_key_is_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "ACCESS_SECONDS", 0.05)
    folders = Folders.at(tmp_path).create()
    key = {"X-API-Key": create_key(folders, "page", ["read"], NOW)}
    with (
        serving(tmp_path) as port,
        httpx.stream("GET", f"http://127.0.0.1:{port}/live", headers=key, timeout=SOON) as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines) == "event: hello"
        revoke_key(folders, "page")
        assert "event: changed" not in list(lines)


def test_the_first_key_ends_the_streams_that_had_none(tmp_path: Path) -> None:
    async def test() -> None:
        live, closed = LiveUpdates(tmp_path), asyncio.Event()
        events = live.events(lambda: not closed.is_set())
        assert (await anext(events)).event == "hello"
        closed.set()
        assert await asyncio.wait_for(anext(events, None), SOON) is None

    run(test())


def test_a_stream_beyond_the_limit_is_503_with_retry_after(tmp_path: Path) -> None:
    app = create_app(tmp_path)
    app.state.live.max_streams = 0
    app.state.live._pages[_OpenPage("testclient")] = None
    with TestClient(app, "http://127.0.0.1") as client:
        answer = client.get("/live")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_the_server_stops_at_once_although_a_page_is_open(tmp_path: Path) -> None:
    app = create_app(tmp_path)
    port = free_port()
    config = uvicorn.Config(app, port=port, log_level="error", timeout_graceful_shutdown=20)
    server = SiteServer(config, app.state.live)
    thread = threading.Thread(target=server.run)
    thread.start()
    up = threading.Event()
    while not server.started and thread.is_alive():
        up.wait(0.02)
    with httpx.stream("GET", f"http://127.0.0.1:{port}/live", timeout=SOON) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in stream.headers
        lines = stream.iter_lines()
        assert next(lines) == "event: hello"
        server.handle_exit(15, None)
        assert list(lines)[-1] == ""
    thread.join(SOON)
    assert not thread.is_alive()


def test_a_disk_that_becomes_full_refreshes_the_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "DISK_SECONDS", 0.05)

    async def test() -> None:
        async with watching(tmp_path) as (_, events):
            coming = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            full = os.statvfs_result((4096, 4096, 1000, 0, 0, 1000, 10, 10, 0, 255))
            monkeypatch.setattr(os, "statvfs", lambda _: full)
            assert (await asyncio.wait_for(coming, SOON)).data == "disk"

    run(test())
