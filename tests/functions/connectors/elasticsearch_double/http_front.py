"""HTTP(S) front of the double or of a real server, which plays failures on request."""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import urlsplit

Reply = tuple[int, dict[str, Any]]
MEDIA = "application/vnd.elasticsearch+json"


class Backend(Protocol):
    """What answers requests: the store of the double, or a real server."""

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Reply: ...


class RealServer:
    """Passes requests on to a real server; only for tests against one."""

    def __init__(self, url: str, ca_file: str | None = None) -> None:
        self._url = urlsplit(url)
        self._tls = ssl.create_default_context(cafile=ca_file)

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Reply:
        host, port = self._url.hostname, self._url.port
        connection = (
            http.client.HTTPSConnection(host, port, context=self._tls)
            if self._url.scheme == "https"
            else http.client.HTTPConnection(host, port)
        )
        passed = {
            k: headers[k] for k in ("Authorization", "Content-Type", "Accept") if k in headers
        }
        connection.request(method, target, body or None, passed)
        response = connection.getresponse()
        reply = response.status, json.loads(response.read() or b"{}")
        connection.close()
        return reply


class Fault:
    """A failure in place of a response; this one sends an error of a type."""

    def __init__(self, status: int = 500, kind: str = "es_exception") -> None:
        self.status, self.kind = status, kind

    def play(self, handler: "FrontHandler", reply: Callable[[], Reply]) -> None:  # noqa: ARG002
        cause = {"type": self.kind, "reason": "played by the test"}
        body = {"error": {"root_cause": [cause], **cause}, "status": self.status}
        handler.send(self.status, json.dumps(body).encode())


class Html(Fault):
    """The page of a proxy whose server is down."""

    def play(self, handler: "FrontHandler", reply: Callable[[], Reply]) -> None:  # noqa: ARG002
        handler.send(self.status, b"<html>Bad Gateway</html>", "text/html")


class Dropped(Fault):
    """Closes the connection without a response."""

    def play(self, handler: "FrontHandler", reply: Callable[[], Reply]) -> None:  # noqa: ARG002
        handler.close_connection = True


class Hung(Fault):
    """Sends no response until the front releases it."""

    def play(self, handler: "FrontHandler", reply: Callable[[], Reply]) -> None:  # noqa: ARG002
        handler.front.released.wait(30)
        handler.close_connection = True


class Dripping(Fault):
    """Sends the right response byte by byte."""

    def play(self, handler: "FrontHandler", reply: Callable[[], Reply]) -> None:
        status, body = reply()
        handler.send(status, json.dumps(body).encode(), pause_s=0.02)


class Changed(Fault):
    """Sends the right response with status 200 and some parts replaced."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(200)
        self.parts = parts

    def play(self, handler: "FrontHandler", reply: Callable[[], Reply]) -> None:
        status, body = reply()
        handler.send(status, json.dumps(body | self.parts).encode())


class FrontHandler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    front: "HttpFront"

    def do_GET(self) -> None:
        """Answer, or play the next fault."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.front.seen.append((self.command, self.path.partition("?")[0]))

        def reply() -> Reply:
            return self.front.backend.answer(self.command, self.path, self.headers, body)

        fault = self.front.next_fault(self.path)
        if fault is not None:
            fault.play(self, reply)
            return
        status, answer = self._wrong_media(body) or reply()
        self.front.remember_pits(self.path, status, answer)
        self.send(status, json.dumps(answer).encode())

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

    def _wrong_media(self, body: bytes) -> Reply | None:
        """The error of a version 8 server for the media types of a version 9 client."""
        for name in ("Accept", *(["Content-Type"] if body else [])):
            if "compatible-with=9" in self.headers.get(name, ""):
                cause = {"type": "media_type_header_exception", "reason": f"Invalid {name}"}
                return 400, {"error": {"root_cause": [cause], **cause}, "status": 400}
        return None

    def send(self, status: int, body: bytes, media: str | None = None, pause_s: float = 0) -> None:
        """Send a response, byte by byte if there is a pause between the bytes."""
        accepted = self.headers.get("Accept", "application/json").split(",")[0]
        self.send_response(status)
        if media is None and self.front.product:
            self.send_header("X-elastic-product", "Elasticsearch")
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="security", ApiKey')
        self.send_header("Content-Type", media or accepted)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            for i in range(0, len(body), 1 if pause_s else max(1, len(body))):
                self.wfile.write(body[i : i + 1] if pause_s else body)
                if pause_s and self.front.released.wait(pause_s):
                    return
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


class FrontServer(ThreadingHTTPServer):
    """A server that can close its connections, and ignores clients that close theirs."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, for `close_connections`."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Close all connections, as a killed server does."""
        for request in list(self._open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *args: Any) -> None:
        """Ignore clients that close the handshake because they reject the certificate."""


class HttpFront:
    """The address of the server; can be closed and opened again on the same port."""

    def __init__(self, backend: Backend, tls: ssl.SSLContext | None = None) -> None:
        self.backend = backend
        self._tls, self._port = tls, 0
        self._faults: list[tuple[str, Fault | None]] = []
        self.released = threading.Event()
        self.seen: list[tuple[str, str]] = []
        self.pit_ids: list[str] = []
        self.product = True

    @property
    def url(self) -> str:
        """Its URL."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Listen."""
        handler = type("Handler", (FrontHandler,), {"front": self})
        self._server = FrontServer(("127.0.0.1", self._port), handler)
        self._port = self._server.server_address[1]
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and close all connections: clients are refused."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.close_connections()
        self._server.server_close()
        self.released = threading.Event()

    def fail(self, fault: Fault, where: str = "_search", after: int = 0) -> None:
        """Play a fault at a request whose path has `where`, `after` that many normal ones."""
        self._faults += [(where, None)] * after + [(where, fault)]

    def clear_faults(self) -> None:
        """Play no fault any more."""
        self._faults.clear()

    def next_fault(self, path: str) -> Fault | None:
        """The fault to play for a request; None to answer it."""
        for i, (where, fault) in enumerate(self._faults):
            if where in path:
                del self._faults[i]
                return fault
        return None

    def remember_pits(self, path: str, status: int, answer: dict[str, Any]) -> None:
        """Remember the ids of points in time in a response."""
        if status == 200 and "_pit" in path and "id" in answer:
            self.pit_ids.append(answer["id"])
        if "pit_id" in answer:
            self.pit_ids.append(answer["pit_id"])

    def expire(self, headers: dict[str, str]) -> None:
        """Expire all points in time, as if `keep_alive` had passed."""
        for pit_id in self.pit_ids:
            body = json.dumps({"id": pit_id}).encode()
            self.backend.answer("DELETE", "/_pit", {"Content-Type": MEDIA, **headers}, body)
        self.pit_ids.clear()

    @contextmanager
    def hanging(self, where: str = "") -> Iterator[None]:
        """Answer nothing within the context."""
        self._faults += [(where, Hung())] * 20
        try:
            yield
        finally:
            self.clear_faults()
            self.released.set()
            self.released = threading.Event()
