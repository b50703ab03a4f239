"""The site in a thread, on a real socket, for tests that send bytes of their own."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from scripts.ports import free_port
from storage.config.web_settings import WebSettings
from web.__main__ import SiteServer
from web.app import create_app
from web.http_protocol import site_protocol

__all__ = ["exchange", "head", "serving"]

DEADLINE_S = 20.0


@contextmanager
def serving(data: Path, web: WebSettings | None = None) -> Iterator[int]:
    """Serve a data folder within the context; yield the port."""
    app, port = create_app(data, web=web), free_port()
    config = uvicorn.Config(
        app, port=port, log_config=None, server_header=False, ws="none", lifespan="on",
        http=site_protocol(app.state.trace),  # type: ignore[arg-type]
    )  # fmt: skip
    server = SiteServer(config, app.state.live)
    thread = threading.Thread(target=server.run)
    thread.start()
    waiting = threading.Event()
    while not server.started and thread.is_alive():
        waiting.wait(0.02)
    try:
        yield port
    finally:
        server.handle_exit(15, None)
        thread.join(DEADLINE_S)
        logging.getLogger("uvicorn.error").filters.clear()
    assert not thread.is_alive()


def exchange(port: int, sent: bytes) -> bytes:
    """Send bytes, and return what the site sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection:
        connection.sendall(sent)
        received = b""
        while part := connection.recv(1 << 16):
            received += part
        return received


def head(answer: bytes) -> tuple[int, dict[str, str], str]:
    """Return status, headers by name in small letters, and body of an answer."""
    top, _, body = answer.decode().partition("\r\n\r\n")
    status, *lines = top.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body
