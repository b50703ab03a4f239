"""Connections of the site: what ends them, and what one beyond the limit gets."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from web import connections as limits
from web.__main__ import SiteServer
from web.connections import LimitedProtocol, backlog, connection_limit
from web.live import LiveUpdates

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = 16 << 20  # more than the kernel buffers

Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Site:
    """An application that answers `size` bytes when `go` is set, and counts its requests."""

    def __init__(self, size: int) -> None:
        self.size, self.requests = size, 0
        self.go = asyncio.Event()
        self.go.set()
        self.state = ServerState()
        self.port = 0
        self.accepted: list[LimitedProtocol] = []
        self._clients: list[asyncio.StreamWriter] = []

    async def __call__(self, _scope: Any, _receive: Any, send: Callable[..., Any]) -> None:
        self.requests += 1
        await self.go.wait()
        headers = [(b"content-length", b"%d" % self.size)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * self.size})

    def protocol(self, config: Config) -> LimitedProtocol:
        self.accepted.append(LimitedProtocol(config, self.state, {}))
        return self.accepted[-1]

    async def connect(self, send: bytes = b"") -> Opened:
        """A connection; return once the site has read what it sends."""
        number = len(self.accepted)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._clients.append(writer)
        writer.write(send)
        while len(self.accepted) <= number or self.accepted[number].transport is None:
            await asyncio.sleep(0)
        protocol = self.accepted[number]
        while send and not (protocol.cycle or protocol.conn.trailing_data[0]):
            await asyncio.sleep(0)
        return reader, writer

    def close(self) -> None:
        """End all connections at both ends."""
        self.go.set()
        for end in [*self._clients, *self.state.connections]:
            end.transport.abort()

    def check(self, seconds_later: float) -> None:
        """Check all connections as the server does each second."""
        for connection in list(self.state.connections):
            assert isinstance(connection, LimitedProtocol)
            connection.check(asyncio.get_running_loop().time() + seconds_later)


@asynccontextmanager
async def serving(size: int = 2, limit: int = 99) -> AsyncIterator[Site]:
    site = Site(size)
    config = Config(
        site, http=LimitedProtocol, limit_concurrency=limit, log_config=None, lifespan="off"
    )
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: site.protocol(config), "127.0.0.1", 0
    )
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        site.close()
        server.close()
    await server.wait_closed()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(limited())


async def status(reader: asyncio.StreamReader) -> int:
    return int((await reader.readuntil(b"\r\n")).split()[1])


@pytest.mark.parametrize(
    ("descriptors", "connections", "at_once"), [(256, 128, 32), (20_000, 1024, 128), (40, 20, 8)]
)
def test_connections_take_half_of_the_descriptors(
    descriptors: int, connections: int, at_once: int
) -> None:
    assert (connection_limit(descriptors), backlog(descriptors)) == (connections, at_once)
    assert connections + at_once < descriptors


def test_idle_connections_beyond_the_limit_make_room_for_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "IDLE_S", 0)

    async def test() -> None:
        async with serving(limit=3) as site:
            idle = [await site.connect(b"GET / HT") for _ in range(6)]
            reader, _ = await site.connect(GET)
            assert await status(reader) == 200
            assert [await status(first) for first, _ in idle[:4]] == [408] * 4
            assert len(site.state.connections) <= 3

    run(test)


def test_where_all_connections_are_in_use_one_more_gets_503_with_retry_after() -> None:
    async def test() -> None:
        async with serving(limit=2) as site:
            site.go.clear()
            busy = [await site.connect(GET) for _ in (1, 2)]
            answer = await (await site.connect())[0].read()
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nretry-after: 5" in head
            assert json.loads(body)["detail"] == "too many connections at once"
            site.go.set()
            assert [await status(reader) for reader, _ in busy] == [200, 200]

    run(test)


@pytest.mark.parametrize(
    ("sent", "answered"), [(b"", b""), (b"GET / HT", b"HTTP/1.1 408 "), (GET, b"HTTP/1.1 200 ")]
)
def test_a_head_that_takes_too_long_is_408_and_without_a_byte_the_connection_closes(
    sent: bytes, answered: bytes
) -> None:
    async def test() -> None:
        async with serving() as site:
            reader, _ = await site.connect(sent)
            while site.accepted[0].stalled_s(math.inf) < 0:
                await asyncio.sleep(0)
            site.check(limits.HEAD_S - 1)
            assert len(site.state.connections) == 1
            site.check(limits.HEAD_S + 1)
            assert (await reader.read())[: len(answered) or None] == answered

    run(test)


def test_a_request_that_is_being_handled_is_never_ended() -> None:
    async def test() -> None:
        async with serving() as site:
            site.go.clear()
            reader, _ = await site.connect(GET)
            site.check(3600)
            site.go.set()
            assert await status(reader) == 200

    run(test)


def test_a_response_that_is_not_read_is_ended_and_one_that_is_read_slowly_goes_on() -> None:
    async def test() -> None:
        async with serving(LARGE) as site:
            (stalled, _), (slow, _) = await site.connect(GET), await site.connect(GET)
            first, second = site.accepted
            while not (first.unread_bytes and second.unread_bytes):
                await asyncio.sleep(0)
            for later in (0, 10, 20):
                site.check(later)
                before = second.unread_bytes
                while before - second.unread_bytes < limits.WINDOW_BYTES:
                    await slow.readexactly(1 << 16)
            assert site.state.connections == {second}
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await stalled.readexactly(LARGE)

    run(test)


def test_pipelined_requests_wait_until_the_response_before_them_is_read() -> None:
    async def test() -> None:
        async with serving(LARGE) as site:
            reader, _ = await site.connect(GET * 50)
            for _ in range(100):
                await asyncio.sleep(0)
            assert site.requests == 1
            await reader.readexactly(LARGE)
            while site.requests < 2:
                await asyncio.sleep(0)

    run(test)


@pytest.mark.parametrize(("slow_s", "answer"), [(0, 200), (3600, 503)])
def test_with_too_much_unread_a_stalled_reader_is_ended_or_else_a_request_gets_503(
    monkeypatch: pytest.MonkeyPatch, slow_s: float, answer: int
) -> None:
    monkeypatch.setattr(limits, "MAX_UNREAD_BYTES", 1 << 20)
    monkeypatch.setattr(limits, "SLOW_S", slow_s)

    async def test() -> None:
        async with serving(LARGE) as site:
            await site.connect(GET)
            while site.accepted[0].unread_bytes < limits.MAX_UNREAD_BYTES:
                await asyncio.sleep(0)
            site.check(0)
            reader, _ = await site.connect(GET)
            assert await status(reader) == answer

    run(test)


def test_the_server_checks_its_connections_each_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HEAD_S", -1)

    async def test() -> None:
        async with serving() as site:
            reader, _ = await site.connect()
            server = SiteServer(site.accepted[0].config, LiveUpdates(tmp_path))
            server.server_state = site.state
            await server.on_tick(9)
            assert not site.accepted[0].transport.is_closing()
            await server.on_tick(10)
            assert await reader.read() == b""

    run(test)
