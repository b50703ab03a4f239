"""Instance: the requests that attacks send."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.tools.attacks.attack import Instance
from storage.config.folders import Folders


class _Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(418)
        self.end_headers()
        self.wfile.write(f"{self.path} {self.headers.get('x-api-key')}".encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    threading.Thread(target=server.serve_forever, name="echo").start()
    url = f"http://127.0.0.1:{server.server_port}"
    yield Instance(url, Folders.at(tmp_path), {}, tmp_path, os.getpid())
    server.shutdown()
    server.server_close()


def test_a_request_returns_status_and_text(instance: Instance) -> None:
    assert instance.request("GET", "/fleet", headers={"X-API-Key": "k"}) == (418, "/fleet k")


def test_raw_bytes_are_sent_as_they_are(instance: Instance) -> None:
    answer = instance.send_raw(b"GET /\x01 HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 418 ")
    assert answer.endswith(b"/\x01 None")


def test_a_process_that_does_not_run_is_an_error(instance: Instance) -> None:
    with pytest.raises(ProcessLookupError, match="nowhere"):
        instance.process("nowhere")
