"""Turns of requests: how many run, how many wait, and what the others get."""

import asyncio
from pathlib import Path

import pytest
from litestar.testing import TestClient

from web import app as site
from web.app import create_app
from web.http_errors import Overloaded
from web.turns import Turns


def test_a_request_beyond_the_limit_waits_for_its_turn() -> None:
    turns, order = Turns("pushes", 1, 9, 60), list[str]()

    async def push(name: str) -> None:
        async with turns.turn():
            await asyncio.sleep(0)
            assert turns.running == 1
            order.append(name)

    async def play() -> None:
        await asyncio.gather(*map(push, "abc"))

    asyncio.run(play())
    assert (order, turns.running) == (["a", "b", "c"], 0)


def test_a_sender_that_leaves_while_it_waits_keeps_no_place() -> None:
    turns = Turns("pushes", 1, 1, 60)

    async def push() -> None:
        async with turns.turn():
            pass

    async def play() -> None:
        async with turns.turn():
            leaves = asyncio.ensure_future(push())
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="too many pushes at once"):
                await push()  # there is no room to wait either
            leaves.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaves
        await push()

    asyncio.run(play())
    assert turns.running == 0


def test_without_a_turn_for_so_long_a_request_is_refused() -> None:
    async def play() -> None:
        with pytest.raises(Overloaded, match="too many exports at once"):
            async with Turns("exports", 0, 1, 0.01).turn():
                pass

    asyncio.run(play())


@pytest.mark.parametrize("path", ["/fleet.json", "/sources.csv", "/servers/a.parquet"])
def test_exports_beyond_their_limit_are_503_with_retry_after_and_pages_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(site, "MAX_EXPORTS", 0)
    monkeypatch.setattr(site, "MAX_EXPORT_WAIT_S", 0.01)
    with TestClient(create_app(tmp_path), "http://127.0.0.1") as client:
        refused, page = client.get(path), client.get("/")
        assert 'refused_requests_total{reason="overload"} 1' in client.get("/metrics").text
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert refused.headers["connection"] == "close"
    assert refused.json()["detail"] == "too many exports at once"
    assert page.status_code == 200
