"""Questions between processes of the house."""

import asyncio
import socket
from pathlib import Path

import pytest

from storage.ipc import rpc
from storage.ipc.rpc import NotRunning, call_rpc, serve_rpc


def fail(_question: bytes) -> tuple[int, bytes]:
    raise ZeroDivisionError("inside")


def test_a_request_gets_a_status_and_a_body(tmp_path: Path) -> None:
    with serve_rpc(tmp_path / "s", lambda question: (200, question[::-1])):
        assert asyncio.run(call_rpc(tmp_path / "s", b"abc")) == (200, b"cba")


def test_an_error_in_the_handler_gives_500_and_the_next_request_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serve_rpc(tmp_path / "s", fail):
        for _ in range(2):
            status, body = asyncio.run(call_rpc(tmp_path / "s", b"abc"))
            assert status == 500
            assert b"failed inside Hoursight" in body
    assert "ZeroDivisionError: inside" in caplog.text


def test_a_request_that_is_too_large_gets_413(tmp_path: Path) -> None:
    with serve_rpc(tmp_path / "s", fail, max_bytes=3):
        assert asyncio.run(call_rpc(tmp_path / "s", b"abcd"))[0] == 413


def test_without_a_server_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="hoursight up"):
        asyncio.run(call_rpc(tmp_path / "s", b"abc"))


def test_a_peer_that_stalls_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "STALLED_S", 0.01)
    with (
        serve_rpc(tmp_path / "s", lambda _: (200, b"")),
        socket.socket(socket.AF_UNIX) as peer,
    ):
        peer.settimeout(30)
        peer.connect(str(tmp_path / "s"))
        peer.sendall(b"half a request")
        assert peer.recv(1) == b""
