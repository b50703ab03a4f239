"""Forms on the page of a server: what is marked, for whom, and what the page then says."""

from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from httpx import Response

from storage.config.api_keys import create_key
from storage.config.folders import Folders
from storage.ipc.rpc import serve_rpc
from tests.conftest import NOW
from tests.web.api.test_functions_api import Engine
from tests.web.conftest import Client
from tests.web.test_auth import site
from web.rendering import NOTICE_COOKIE

PATH = "/servers/web%2F1%20100%25.json"
SERVER = "web/1 100%.json"


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


def posted(client: Client, token: str = "", **form: str) -> Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return client.post(PATH, data=form, headers=headers, follow_redirects=False)


def notice(answer: Response) -> str:
    text: str = msgspec.json.decode(urlsafe_b64decode(answer.cookies[NOTICE_COOKIE]))["text"]
    return text


@pytest.mark.parametrize(
    ("form", "mark"),
    [
        ({"do": "acknowledged", "episode": "3fd0"}, {"episode": "3fd0"}),
        ({"do": "acting", "episode": "3fd0", "lasts": ""}, {"episode": "3fd0"}),
        ({"do": "silence", "lasts": "2h", "note": " patch "},
         {"server": SERVER, "lasts": "2h", "note": "patch"}),
        ({"do": "unsilence"}, {"server": SERVER}),
        ({"do": "deploy", "note": "v2"}, {"server": SERVER, "note": "v2"}),
    ],
)  # fmt: skip
def test_a_form_is_a_mark_of_the_episode_or_the_server(
    client: Client, engine: Engine, form: dict[str, str], mark: dict[str, str]
) -> None:
    answer = posted(client, **form)
    assert (answer.status_code, answer.headers["location"]) == (303, PATH)
    (call,) = engine.calls
    assert call["name"] == "mark"
    assert call["body"] == {"kind": form["do"], "made_by": "local"} | mark


def test_what_was_refused_is_said_and_so_is_an_unknown_act(client: Client, engine: Engine) -> None:
    engine.answer = (200, b'{"row_counts":{},"refused":1,"reasons":["no episode \'x\'"]}')
    assert notice(posted(client, do="acting", episode="x")) == "Not done: no episode 'x'"
    assert notice(posted(client, do="reboot")).startswith("do is 'reboot', expected one of ack")
    assert notice(client.post(PATH, content=b"\xff{", follow_redirects=False)).startswith(
        "do is ''"
    )
    assert len(engine.calls) == 1


def test_a_key_that_may_only_read_cannot_act(
    client: Client, folders: Folders, engine: Engine
) -> None:
    keys = {s: create_key(folders, s, [s], NOW) for s in ("read", "admin")}
    assert posted(client, keys["read"], do="deploy").status_code == 403
    assert engine.calls == []
    posted(client, keys["admin"], do="deploy")
    assert engine.calls[0]["body"]["made_by"] == "admin"
