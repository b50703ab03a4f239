"""Bodies of requests: those that stall end, and make room for those that arrive."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from web import uploads as limits
from web.app import create_app
from web.http_errors import Overloaded
from web.uploads import BodyStalled, Uploads, limiting_uploads

JSON = [(b"content-type", b"application/json"), (b"host", b"127.0.0.1")]
PUSHES = {
    "/feed": JSON, "/api/v2/write": JSON,
    "/api/v1/write": [
        (b"content-type", b"application/x-protobuf"), (b"content-encoding", b"snappy"), JSON[1],
    ],
}  # fmt: skip


def request(path: str, headers: Sequence[Any] = JSON, sender: str = "10.0.0.1") -> dict[str, Any]:
    return {
        "type": "http", "http_version": "1.1", "method": "POST", "path": path, "headers": headers,
        "raw_path": path.encode(), "query_string": b"", "client": (sender, 1), "root_path": "",
        "server": ("127.0.0.1", 80), "scheme": "http", "state": {}, "extensions": {},
    }  # fmt: skip


def arriving(*parts: bytes, whole: bool = False) -> Any:
    """A `receive` with these parts; then it waits for ever, unless they are the whole body."""
    left = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if whole:
        left[-1]["more_body"] = False

    async def receive() -> Any:
        return left.pop(0) if left else await asyncio.Event().wait()

    return receive


async def read_body(scope: Any, receive: Any, send: Any) -> None:
    while (await receive())["more_body"]:
        pass
    await send(scope["client"][0])


async def answer(app: Any, scope: Any, receive: Any) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


@asynccontextmanager
async def stalled(app: Any, senders: Sequence[str]) -> AsyncIterator[Sequence[asyncio.Future[Any]]]:
    """Uploads that stop after their first byte."""
    running = [
        asyncio.ensure_future(answer(app, request("/", sender=sender), arriving(b"[")))
        for sender in senders
    ]
    await asyncio.sleep(0)
    yield running
    for upload in running:
        upload.cancel()
    await asyncio.gather(*running, return_exceptions=True)


@pytest.mark.parametrize("path", [*PUSHES, "/api/v1/functions/risk"])
def test_a_body_that_stalls_is_refused_and_a_push_with_a_status_that_senders_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(limits, "WINDOW_S", 0.01)
    app = create_app(tmp_path)
    start, _ = asyncio.run(answer(app, request(path, PUSHES.get(path, JSON)), arriving(b"[")))
    headers = dict(start["headers"])
    assert start["status"] == (503 if path in PUSHES else 408)
    assert (b"retry-after" in headers) == (path in PUSHES)
    assert b"connection" not in headers  # its sender reads the answer, and no reset


def test_stalled_uploads_of_one_sender_or_of_many_make_room_for_one_that_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "SLOW_AFTER_S", 0)
    monkeypatch.setattr(limits, "MAX_PER_SENDER", 16)
    uploads = Uploads()
    uploads.max_uploads = 64
    app = limiting_uploads(uploads, read_body)

    async def play(senders: Sequence[str], ended: int) -> None:
        async with stalled(app, senders) as running:
            honest = answer(app, request("/", sender="10.0.0.1"), arriving(b"[", b"]", whole=True))
            assert await asyncio.wait_for(honest, 10) == ["10.0.0.1"]
            await asyncio.sleep(0)
            done = [upload for upload in running if upload.done()]
            assert len(done) == ended
            assert all(isinstance(upload.exception(), BodyStalled) for upload in done)
        assert (uploads.bytes, uploads._receiving) == (0, set())

    asyncio.run(play(["10.0.0.1"] * 64, 64 - limits.MAX_PER_SENDER + 1))
    asyncio.run(play([f"10.0.1.{n}" for n in range(64)], 1))
    asyncio.run(play([f"10.0.1.{n}" for n in range(9)], 0))


def test_a_body_waits_until_one_of_the_others_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SLOW_AFTER_S", 0.02)
    monkeypatch.setattr(limits, "CHECK_EVERY_S", 0.01)
    monkeypatch.setattr(limits, "MAX_WAIT_S", 60)
    uploads = Uploads()
    uploads.max_uploads = 1
    app = limiting_uploads(uploads, read_body)

    async def play() -> None:
        async with stalled(app, ["a"]):
            assert await answer(app, request("/"), arriving(b"[", whole=True)) == ["10.0.0.1"]

    asyncio.run(play())


@pytest.mark.parametrize(("size", "served"), [(1, True), (10, False)])
def test_a_slow_body_gives_its_memory_to_one_that_arrives_if_it_is_enough(
    monkeypatch: pytest.MonkeyPatch, size: int, served: bool
) -> None:
    monkeypatch.setattr(limits, "SLOW_AFTER_S", 0)
    monkeypatch.setattr(limits, "MAX_BYTES", size)
    app = limiting_uploads(Uploads(), read_body)

    async def play() -> None:
        async with stalled(app, ["10.0.0.2"]) as [slow]:
            honest = answer(app, request("/"), arriving(b"x" * size, whole=True))
            if served:
                assert await honest == ["10.0.0.1"]
                await asyncio.wait([slow])
                assert isinstance(slow.exception(), BodyStalled)
            else:
                with pytest.raises(Overloaded):
                    await honest
                assert not slow.done()

    asyncio.run(play())


def test_beyond_the_limits_a_body_is_503_where_all_others_are_arriving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_WAIT_S", 0)
    monkeypatch.setattr(limits, "MAX_BYTES", 10)
    uploads = Uploads()
    uploads.max_uploads = 2
    app = limiting_uploads(uploads, read_body)

    async def play() -> None:
        with pytest.raises(Overloaded, match="too many requests with bodies"):
            await answer(app, request("/"), arriving(b"x" * 11))
        async with stalled(app, ["a", "b"]):
            with pytest.raises(Overloaded, match="too many requests with bodies"):
                await answer(app, request("/"), arriving(b"[", whole=True))

    asyncio.run(play())
