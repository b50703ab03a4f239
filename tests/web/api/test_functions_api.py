"""`POST /api/v1/functions/NAME`: what is forwarded to the engine, and how its answers return."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage.config.folders import Folders
from storage.ipc.rpc import serve_rpc
from tests.web.conftest import Client
from tests.web.test_auth import site

URL = "/api/v1/functions/risk"


class Engine:
    """An RPC server in place of the engine; it records calls and answers as set.

    The rows of the audit, which the site sends when it can, are apart.
    """

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.audit: list[dict[str, Any]] = []
        self.answer = (200, b'{"tables":{}}')

    def __call__(self, call: bytes) -> tuple[int, bytes]:
        decoded = msgspec.json.decode(call)
        if decoded["name"] == "audit":
            self.audit.extend(decoded["body"])
            return 200, b"{}"
        self.calls.append(decoded)
        return self.answer


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def client(tmp_path: Path, engine: Engine) -> Iterator[Client]:
    """The site, with `engine` behind it."""
    folders = Folders.at(tmp_path).create()
    with serve_rpc(folders.rpc_socket, engine), site(folders.data, False, "127.0.0.1") as client:
        yield client


def test_name_body_and_parameters_are_forwarded(client: Client, engine: Engine) -> None:
    query = {"now": "2026-05-06T12:00:00Z", "dry_run": "true"}
    answer = client.post(URL, json={"server": "a"}, params=query)
    assert (answer.status_code, answer.json()) == (200, {"tables": {}})
    assert engine.calls == [
        {"name": "risk", "now": "2026-05-06T12:00:00Z", "dry_run": True, "body": {"server": "a"}}
    ]


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_empty_body_is_null(client: Client, engine: Engine, body: bytes) -> None:
    assert client.post(URL, content=body).status_code == 200
    assert engine.calls == [{"name": "risk", "now": None, "dry_run": False, "body": None}]


@pytest.mark.parametrize("status", [404, 500, 504])
def test_an_error_of_the_engine_keeps_its_status_and_body(
    client: Client, engine: Engine, status: int
) -> None:
    engine.answer = (status, b'{"error":"why"}')
    answer = client.post(URL)
    body = answer.json()
    assert (answer.status_code, body["error"], body["detail"]) == (status, "why", "why")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("body", "query"), [(b"{", ""), (b"null", "?now=yesterday")])
def test_an_invalid_request_is_400_and_calls_nothing(
    client: Client, engine: Engine, body: bytes, query: str
) -> None:
    assert client.post(URL + query, content=body).status_code == 400
    assert engine.calls == []


def test_without_an_engine_it_is_503_with_the_remedy(tmp_path: Path) -> None:
    with site(tmp_path, False, "127.0.0.1") as client:
        answer = client.post(URL)
    assert answer.status_code == 503
    assert "start one with 'hoursight up'" in answer.json()["error"]


def test_a_small_body_of_many_values_is_413_before_it_is_decoded(
    client: Client, engine: Engine
) -> None:
    answer = client.post(URL, content=b"[" + b"[]," * 400_000 + b"[]]")
    assert (answer.status_code, engine.calls) == (413, [])
    assert "too many values" in answer.text


def test_calls_beyond_the_limit_are_503_with_retry_after(client: Client, engine: Engine) -> None:
    client.app.state.call_turns.limit = 0
    answer = client.post(URL)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["detail"] == "too many calls of functions at once"
    assert engine.calls == []


def test_a_503_of_the_engine_says_when_to_try_again(client: Client, engine: Engine) -> None:
    engine.answer = (503, b'{"error":"4 calls are running"}')
    assert client.post(URL).headers["retry-after"] == "5"
