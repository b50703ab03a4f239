"""`POST /api/v1/marks`: who may mark what, and how the engine's answers return."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage.config.api_keys import create_key
from storage.config.folders import Folders
from storage.ipc.rpc import serve_rpc
from tests.conftest import NOW
from tests.web.api.test_functions_api import Engine
from tests.web.conftest import Client
from tests.web.test_auth import site

URL = "/api/v1/marks"
DEPLOY = {"kind": "deploy", "pattern": "web-*"}
SILENCE = {"kind": "silence", "pattern": "web-*"}


@pytest.fixture
def engine() -> Engine:
    engine = Engine()
    engine.answer = (200, b'{"row_counts":{"marks":1},"refused":0}')
    return engine


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path).create()


@pytest.fixture
def client(folders: Folders, engine: Engine) -> Iterator[Client]:
    with serve_rpc(folders.rpc_socket, engine), site(folders.data, False, "127.0.0.1") as client:
        yield client


def test_a_mark_is_a_call_of_the_function_mark(client: Client, engine: Engine) -> None:
    assert client.post(URL, json=DEPLOY).status_code == 200
    assert engine.calls == [{"name": "mark", "body": DEPLOY}]


def test_a_mark_that_cannot_be_used_is_422_with_the_reason(client: Client, engine: Engine) -> None:
    engine.answer = (200, b'{"row_counts":{},"refused":1,"reasons":["kind is missing"]}')
    answer = client.post(URL, json={})
    assert (answer.status_code, answer.json()["error"]) == (422, "kind is missing")


@pytest.mark.parametrize(
    ("scope", "mark", "status"),
    [
        ("feed", DEPLOY, 200),
        ("feed", SILENCE, 403),
        ("feed", [DEPLOY, SILENCE], 403),
        ("feed", ["x"], 403),
        ("admin", SILENCE, 200),
        ("operate", SILENCE, 200),
        ("operate", DEPLOY, 200),
        ("read", DEPLOY, 403),
    ],
)
def test_a_key_for_pushes_reports_deployments_and_silences_nothing(
    folders: Folders, client: Client, scope: str, mark: Any, status: int
) -> None:
    key = create_key(folders, "k", [scope], NOW)
    answer = client.post(URL, content=msgspec.json.encode(mark), headers={"X-API-Key": key})
    assert answer.status_code == status
