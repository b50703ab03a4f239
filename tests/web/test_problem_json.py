"""Errors as data have one shape, RFC 9457, whatever refused the request."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.config.api_keys import create_key
from storage.config.folders import Folders
from tests.conftest import NOW
from tests.web.conftest import Client
from tests.web.test_auth import site

JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The site over a folder without a lake; this machine needs no key."""
    with site(tmp_path_factory.mktemp("var"), False, "127.0.0.1") as client:
        yield client


def is_problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["type"], body["status"]) == ("about:blank", status)
    assert body["title"]
    assert body["detail"]
    return body


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/nowhere", JSON, 404), ("GET", "/fleet.json", {}, 503), ("GET", "/", JSON, 503),
        ("GET", "/status.json", {}, 503), ("POST", "/feed", {}, 415), ("PUT", "/feed", {}, 405),
        ("POST", "/api/v1/marks", {}, 503), ("POST", "/api/v1/functions/audit", {}, 403),
        ("POST", "/api/v1/functions/risk?now=x", {}, 400), ("GET", "/", {"Host": "["}, 400),
        ("POST", "/api/v1/marks", {"Origin": "http://evil.example"}, 403),
    ],
)  # fmt: skip
def test_an_error_is_a_problem_with_its_path(empty: Client, method, path, headers, status) -> None:
    body = is_problem(empty.request(method, path, headers=headers), status)
    if headers.get("Host") != "[":  # refused before its path is read
        assert body["instance"] == path.partition("?")[0]
    assert {"remedy", "status_code", "message", "error"} <= body.keys()


def test_a_page_is_for_a_browser_and_a_problem_for_a_program(tmp_path: Path) -> None:
    create_key(Folders.at(tmp_path), "me", ["read"], NOW)
    with site(tmp_path, True, "monitor.example") as client:
        key = {"X-API-Key": "hs_x"}
        browser = client.get("/", headers=key | {"Accept": "text/html,application/json;q=0.9"})
        assert browser.headers["content-type"].startswith("text/html")
        assert is_problem(client.get("/", headers=key | JSON), 403)["remedy"]
        form = client.post("/logout", headers={"Accept": "text/html", "Origin": "null"})
        assert "are not accepted" in form.text
        assert form.headers["content-type"].startswith("text/html")


def test_the_path_of_a_problem_is_that_of_a_url(empty: Client) -> None:
    answer = empty.get("/api/v1/none/%C3%A4%20%3Cb%3E")
    assert is_problem(answer, 404)["instance"] == "/api/v1/none/%C3%A4%20%3Cb%3E"
