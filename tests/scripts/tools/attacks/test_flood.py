"""Floods: what honest requests get beside them decides whether they were held."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.tools.attacks import flood
from scripts.tools.attacks.attack import Instance
from storage.config.folders import Folders


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def instance(listener: socket.socket, tmp_path: Path) -> Instance:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    return Instance(url, Folders.at(tmp_path), {"feed": "f", "read": "r"}, tmp_path, os.getpid())


def test_a_flood_opens_its_connections_and_sends_on_each(
    instance: Instance, listener: socket.socket
) -> None:
    head = flood._head(instance, "POST /feed HTTP/1.1")
    with flood._flood(instance, 3, head):
        for _ in range(3):
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(1000) == head
    assert b"\r\nX-API-Key: f\r\n" in head


@pytest.mark.parametrize(
    ("statuses", "held", "text"),
    [((200,), True, "1 x 200"), ((503,), False, "1 x 503")],
)
def test_a_flood_is_held_if_every_honest_request_is_answered(
    instance: Instance,
    monkeypatch: pytest.MonkeyPatch,
    statuses: tuple[int, ...],
    held: bool,
    text: str,
) -> None:
    monkeypatch.setattr(flood, "HONEST_S", 0)
    left = iter(statuses)
    answer = flood._honest(instance, "pages", lambda _instance: next(left))
    assert answer.held == held
    assert answer.text.startswith(f"pages: {text}; median ")
