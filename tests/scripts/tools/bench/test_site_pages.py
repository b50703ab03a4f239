"""The benchmark of pages: what it takes for an answer."""

import gzip
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from scripts.tools.bench import site_pages


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = gzip.compress(b"page")
        self.send_response(200 if self.path == "/" else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_an_answer_that_is_not_a_page_is_not_measured() -> None:
    with HTTPServer(("127.0.0.1", 0), Site) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        connection = HTTPConnection("127.0.0.1", server.server_port)
        assert gzip.decompress(site_pages._get(connection, "/", {})) == b"page"
        with pytest.raises(RuntimeError, match="503"):
            site_pages._get(connection, "/trouble", {})
        connection.close()
        server.shutdown()
