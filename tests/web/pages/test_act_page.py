"""The page of a one-time link: what it shows, and that it acts once and for nobody else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from storage.config.api_keys import create_key
from storage.config.folders import Folders
from storage.config.signed_links import SignedLinks
from storage.ipc.rpc import serve_rpc
from tests.web.api.test_functions_api import Engine
from tests.web.conftest import Client
from tests.web.test_auth import site

NOW = datetime.now(UTC)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders.at(tmp_path).create()
    create_key(folders, "someone", ["read"], NOW)  # so that the site requires a key
    return folders


@pytest.fixture
def client(folders: Folders, engine: Engine) -> Iterator[Client]:
    with serve_rpc(folders.rpc_socket, engine), site(folders.data, True, "hs.example") as client:
        yield client


def link(folders: Folders, made_at: datetime = NOW) -> str:
    return "/act/" + SignedLinks(folders).token("e1", "ops", made_at)


def test_opening_the_link_shows_two_buttons_and_changes_nothing(
    client: Client, folders: Folders, engine: Engine
) -> None:
    for _ in range(3):
        page = client.get(link(folders))
    assert page.status_code == 200
    assert page.text.count('<button type="submit">') == 2
    assert page.headers["referrer-policy"] == "same-origin"
    assert "/live" not in page.text
    assert engine.calls == []


def test_a_button_makes_one_mark_without_a_key_and_a_second_press_makes_none(
    client: Client, folders: Folders, engine: Engine
) -> None:
    pressed = [client.post(f"{link(folders)}/acknowledged") for _ in range(2)]
    assert [each.status_code for each in pressed] == [200, 409]
    assert "used already" in pressed[1].text
    (call,) = engine.calls
    assert (call["name"], call["body"]["kind"], call["body"]["episode"]) == (
        "mark", "acknowledged", "e1",
    )  # fmt: skip
    assert call["body"]["made_by"] == "link sent to ops"
    assert client.get(link(folders)).text.count('<button type="submit">') == 1
    assert client.post(f"{link(folders)}/acting").status_code == 200


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (200, {"refused": 1, "reasons": ["there is no episode 'e1'"]}, "There is no episode"),
        (500, {"error": "KeyError"}, "KeyError"),
        (503, {"error": "too many calls"}, "Too many calls"),
    ],
)
def test_an_act_that_could_not_be_recorded_says_why_and_may_be_tried_again(
    client: Client, folders: Folders, engine: Engine, status: int, answer: object, words: str
) -> None:
    engine.answer = (status, msgspec.json.encode(answer))
    failed = client.post(f"{link(folders)}/acting")
    assert failed.status_code == 503
    assert words in failed.text
    engine.answer = (200, b"{}")
    assert client.post(f"{link(folders)}/acting").status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_that_is_forged_or_too_old_is_refused(
    client: Client, folders: Folders, engine: Engine, method: str
) -> None:
    act = "/acting" if method == "POST" else ""
    valid = link(folders)
    forged = ("A" if valid[5] != "A" else "B").join([valid[:5], valid[6:]])
    old = link(folders, NOW - timedelta(days=4))
    for each in (forged, old, "/act/x.y"):
        answer = client.request(method, each + act)
        assert answer.status_code == 403
        assert "This link is" in answer.text
    assert engine.calls == []


def test_a_page_of_another_site_cannot_press_a_button(
    client: Client, folders: Folders, engine: Engine
) -> None:
    headers = {"Origin": "https://evil.example"}
    assert client.post(f"{link(folders)}/acting", headers=headers).status_code == 403
    assert engine.calls == []


def test_there_is_no_third_act(client: Client, folders: Folders, engine: Engine) -> None:
    assert client.post(f"{link(folders)}/silence").status_code in (400, 404)
    assert engine.calls == []


def test_the_answer_has_the_headers_of_all_answers(client: Client, folders: Folders) -> None:
    headers = client.get(link(folders)).headers
    assert headers["cache-control"] == "no-store"
    assert "form-action 'self'" in headers["content-security-policy"]


def test_without_a_running_engine_it_may_be_tried_again(folders: Folders) -> None:
    with site(folders.data, True, "hs.example") as client:
        answer = client.post(f"{link(folders)}/acting")
    assert answer.status_code == 503
    assert "hoursight up" in answer.text
