"""HTTP(S) before the double, or before a real server; every failure that is told of is played."""

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
    """What answers: the double's store, or a real server."""

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Reply: ...


class Behind:
    """A real server, asked as it is; only for tests against one."""

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
        found = response.status, json.loads(response.read() or b"{}")
        connection.close()
        return found


class Fault:
    """A failure: what is sent in the place of an answer, or done to it. By default an error."""

    def __init__(self, status: int = 500, kind: str = "es_exception") -> None:
        self.status, self.kind = status, kind

    def play(self, asked: "FrontHandler", reply: Callable[[], Reply]) -> None:  # noqa: ARG002
        cause = {"type": self.kind, "reason": "as told"}
        body = {"error": {"root_cause": [cause], **cause}, "status": self.status}
        asked.send(self.status, json.dumps(body).encode())


class Html(Fault):
    """What a proxy says when the server behind it is away."""

    def play(self, asked: "FrontHandler", reply: Callable[[], Reply]) -> None:  # noqa: ARG002
        asked.send(self.status, b"<html>Bad Gateway</html>", "text/html")


class Dropped(Fault):
    """The connection is closed without a word."""

    def play(self, asked: "FrontHandler", reply: Callable[[], Reply]) -> None:  # noqa: ARG002
        asked.close_connection = True


class Hung(Fault):
    """No answer until the door is let go."""

    def play(self, asked: "FrontHandler", reply: Callable[[], Reply]) -> None:  # noqa: ARG002
        asked.door.let_go.wait(10)
        asked.close_connection = True


class Dripping(Fault):
    """A sound answer that comes a byte at a time."""

    def play(self, asked: "FrontHandler", reply: Callable[[], Reply]) -> None:
        status, body = reply()
        asked.send(status, json.dumps(body).encode(), pause_s=0.02)


class Changed(Fault):
    """A sound answer with status 200 that is not whole: parts of it are others."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(200)
        self.parts = parts

    def play(self, asked: "FrontHandler", reply: Callable[[], Reply]) -> None:
        status, body = reply()
        asked.send(status, json.dumps(body | self.parts).encode())


class FrontHandler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    door: "HttpFront"

    def do_GET(self) -> None:
        """Answer, or fail as told."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.door.seen.append((self.command, self.path.partition("?")[0]))

        def reply() -> Reply:
            return self.door.backend.answer(self.command, self.path, self.headers, body)

        fault = self.door.next_fault(self.path)
        if fault is not None:
            fault.play(self, reply)
            return
        wrong = self._wrong_media(body)
        status, answer = wrong or reply()
        self.door.look(self.path, status, answer)
        self.send(status, json.dumps(answer).encode())

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - so http.server calls them

    def _wrong_media(self, body: bytes) -> Reply | None:
        """Versions of a client are negotiated in the media type, as by a server of 8."""
        for name in ("Accept", *(["Content-Type"] if body else [])):
            if "compatible-with=9" in self.headers.get(name, ""):
                cause = {"type": "media_type_header_exception", "reason": f"Invalid {name}"}
                return 400, {"error": {"root_cause": [cause], **cause}, "status": 400}
        return None

    def send(self, status: int, body: bytes, media: str | None = None, pause_s: float = 0) -> None:
        """Send an answer, byte by byte with a pause between them when there is one."""
        accepted = self.headers.get("Accept", "application/json").split(",")[0]
        self.send_response(status)
        if media is None and self.door.product:
            self.send_header("X-elastic-product", "Elasticsearch")
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="security", ApiKey')
        self.send_header("Content-Type", media or accepted)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            for i in range(0, len(body), 1 if pause_s else max(1, len(body))):
                self.wfile.write(body[i : i + 1] if pause_s else body)
                if pause_s and self.door.let_go.wait(pause_s):
                    return
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Be quiet."""


class FrontServer(ThreadingHTTPServer):
    """A server that does not tell of clients that hang up."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Know who is connected, to hang up on them."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """One less."""
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End all connections, as a server does that is killed."""
        for request in list(self._open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *args: Any) -> None:
        """A client that refuses a certificate hangs up in the middle: that is what is tested."""


class HttpFront:
    """Where clients knock; can be closed and opened again at the same port."""

    def __init__(self, backend: Backend, tls: ssl.SSLContext | None = None) -> None:
        self.backend = backend
        self._tls, self._port = tls, 0
        self._faults: list[tuple[str, Fault | None]] = []
        self.let_go = threading.Event()
        self.seen: list[tuple[str, str]] = []
        self.points: list[str] = []
        self.product = True

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Listen."""
        handler = type("Handler", (FrontHandler,), {"door": self})
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
        """Listen no more: who knocks is refused."""
        self.let_go.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
        self.let_go = threading.Event()

    def fail(self, fault: Fault, where: str = "_search", after: int = 0) -> None:
        """Play this at the next request whose path has `where`, `after` that many sound ones."""
        self._faults += [(where, None)] * after + [(where, fault)]

    def next_fault(self, path: str) -> Fault | None:
        """What is to be played now."""
        for i, (where, fault) in enumerate(self._faults):
            if where in path:
                del self._faults[i]
                return fault
        return None

    def look(self, path: str, status: int, answer: dict[str, Any]) -> None:
        """Remember the ids of points in time."""
        if status == 200 and "_pit" in path and "id" in answer:
            self.points.append(answer["id"])
        if "pit_id" in answer:
            self.points.append(answer["pit_id"])

    def expire(self, headers: dict[str, str]) -> None:
        """Let all points in time expire, as if `keep_alive` had passed."""
        for point in self.points:
            body = json.dumps({"id": point}).encode()
            self.backend.answer("DELETE", "/_pit", {"Content-Type": MEDIA, **headers}, body)
        self.points.clear()

    @contextmanager
    def hanging(self, where: str = "") -> Iterator[None]:
        """Meanwhile nothing is answered."""
        self._faults += [(where, Hung())] * 20
        try:
            yield
        finally:
            self._faults.clear()
            self.let_go.set()
            self.let_go = threading.Event()
