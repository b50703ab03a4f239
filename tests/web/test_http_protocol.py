"""Bytes that are not HTTP, and what a proxy sends, on a real socket."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.config.api_keys import create_key
from storage.config.folders import Folders
from tests.conftest import NOW
from tests.web.raw_site import exchange, head, serving
from web.security_headers import HEADERS

POST = b"POST /feed HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(tmp_path_factory.mktemp("var")) as port:
        yield port


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        (b"\x00\x01\r\n\r\n", 400, "illegal request line"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + bytes(99), 400, "for TLS connect to the proxy"),
        ("GET /servers/服务器.csv HTTP/1.1\r\n\r\n".encode(), 400, "illegal request line"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Missing mandatory Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "multiple Host"),
        (b"GET / HTTP/1.1\r\nHost: [\r\n\r\n", 400, "the header Host is '['"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 99_999, 431, "Receive buffer"),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 400, "HTTP 9.9 is not supported"),
        (POST + b"Content-Length: -1\r\n\r\n", 400, "bad Content-Length"),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "conflicting"),
        (POST + b"Transfer-Encoding: foo\r\n\r\n", 400, "Transfer-Encoding"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "illegal chunk header"),
    ],
)
def test_what_is_not_valid_gets_a_sentence_and_all_headers(
    port: int, sent: bytes, status: int, says: str
) -> None:
    answered, headers, body = head(exchange(port, sent))
    assert answered == status
    assert says in body
    assert headers.keys() >= {name.lower() for name in HEADERS} | {"cache-control"}
    assert "server" not in headers
    assert "bytearray" not in body


def test_it_costs_one_line_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(tmp_path) as port, caplog.at_level(logging.WARNING):
        for _ in range(3):
            exchange(port, POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
            exchange(port, b"GET / HTTP/1.1\r\nHost: [\r\n\r\n")
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in warnings] == ["web.access_trace"]


def test_what_nginx_sends_by_proxy_pass_needs_a_key(port: int) -> None:
    sent = b"GET / HTTP/1.0\r\nHost: localhost:8080\r\nConnection: close\r\n"
    status, _, body = head(exchange(port, sent + b"User-Agent: Mozilla/5.0\r\n\r\n"))
    assert status == 401
    assert "came through a proxy" in body


def test_a_proxy_passes_a_key_on(tmp_path: Path) -> None:
    key = create_key(Folders.at(tmp_path), "me", ["read"], NOW).encode()
    sent = b"GET /schema HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\nX-API-Key: "
    with serving(tmp_path) as port:
        assert head(exchange(port, sent + key + b"\r\n\r\n"))[0] == 200
        assert head(exchange(port, sent + b"hs_0\r\n\r\n"))[0] == 403
