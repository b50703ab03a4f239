"""Protocol double of the Prometheus API, for responses that a real server seldom sends."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["ApiDouble", "matrix"]


def matrix(*values: list[Any]) -> bytes:
    """A successful response with one series of node_load1; without values it has no series."""
    series = {"metric": {"instance": "a:9100", "__name__": "node_load1"}, "values": values}
    data = {"resultType": "matrix", "result": [series] if values else []}
    return json.dumps({"status": "success", "data": data}).encode()


class ApiDouble(ThreadingHTTPServer):
    """Answers each request with the next of `replies`, the last one again and again.

    `requests` are the paths and headers of the requests. As a context it serves in a thread.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ApiHandler)
        self.url = f"http://127.0.0.1:{self.server_port}/tenant"
        self.replies: list[tuple[int, bytes]] = [(200, matrix())]
        self.encoding = "identity"
        self.requests: list[tuple[str, dict[str, str]]] = []

    def __enter__(self) -> "ApiDouble":
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class ApiHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        double = self.server
        assert isinstance(double, ApiDouble)
        double.requests.append((self.path, dict(self.headers)))
        status, body = double.replies[0]
        del double.replies[: len(double.replies) > 1]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Encoding", double.encoding)
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass
