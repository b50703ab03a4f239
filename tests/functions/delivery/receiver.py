"""A receiver of HTTP for tests: a real server on a loopback port that keeps what it was sent."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Received", "Receiver", "Reply", "receiver"]


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer; one with `hang_s` comes too late for anybody, though the request was taken."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang_s: float = 0.0


class Receiver:
    """Answers each request by the next of `script`, and by `handle` when that is at its end.

    A reply of the script that is not 5xx or hangs goes through `handle` all the same: a receiver
    that answers too late has taken the request.
    """

    def __init__(self, handle: Callable[[Received], Reply]) -> None:
        self.requests: list[Received] = []
        self.script: list[Reply] = []
        self._handle, self._stop = handle, threading.Event()

    def answer(self, request: Received) -> Reply:
        self.requests.append(request)
        if not self.script:
            return self._handle(request)
        reply = self.script.pop(0)
        if reply.hang_s:
            self._handle(request)
            self._stop.wait(reply.hang_s)
        return reply

    def close(self) -> None:
        self._stop.set()


@contextmanager
def receiver(
    handle: Callable[[Received], Reply] = lambda _: Reply(),
) -> Iterator[tuple[Receiver, str]]:
    """Serve a receiver; yields it and its URL."""
    double = Receiver(handle)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.command, self.path, headers, self.rfile.read(length))
            reply = double.answer(request)
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)
            except OSError:  # the sender has gone
                self.close_connection = True

        do_GET = do_POST  # noqa: N815 - the name that the server calls

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield double, f"http://127.0.0.1:{server.server_port}"
        finally:
            double.close()
            server.shutdown()
            thread.join()
