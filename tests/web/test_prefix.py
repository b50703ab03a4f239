"""Under a prefix: requests with and without it, links, redirects and cookies."""

import re
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from storage.config.folders import Folders
from storage.config.users import add_user
from storage.config.web_settings import WebSettings
from tests.conftest import NOW
from tests.web.site_lakes import FLEET, SiteLakeWriter
from web.app import create_app
from web.prefix import _strip, _with_path

PREFIX = "/hoursight"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory):
    writer = SiteLakeWriter(tmp_path_factory.mktemp("var")).fleet(FLEET[:1])
    app = create_app(writer.folders.data, web=WebSettings(prefix=PREFIX))
    with TestClient(app, "http://127.0.0.1") as client:
        yield client
    writer.close()


def links(text: str) -> set[str]:
    return set(re.findall(r'(?:href|src|action|hx-get|sse-connect|data-charts)="(/[^"]*)"', text))


@pytest.mark.parametrize("path", ["/", "/settings", f"/servers/{FLEET[0].name}"])
def test_every_link_of_a_page_is_below_the_prefix(client, path: str) -> None:
    page = client.get(PREFIX + path)
    assert page.text.startswith("<!doctype html>")
    found = links(page.text)
    assert len(found) > 5
    assert {link for link in found if not link.startswith(f"{PREFIX}/")} == set()


@pytest.mark.parametrize("path", ["/settings", "/healthz", "/schema"])
def test_a_proxy_may_take_the_prefix_off_or_leave_it(client, path: str) -> None:
    for each in (path, PREFIX + path):
        assert client.get(each).status_code == 200


def test_static_files_are_found_where_the_page_has_them(client) -> None:
    for link in links(client.get(f"{PREFIX}/settings").text):
        if link.startswith(f"{PREFIX}/static/"):
            assert client.get(link).status_code == 200, link


def test_the_api_description_names_the_prefix(client) -> None:
    assert client.get(f"{PREFIX}/schema").json()["servers"] == [{"url": PREFIX}]


def test_redirects_and_cookies_are_below_the_prefix(tmp_path: Path) -> None:
    add_user(Folders.at(tmp_path).create(), "ann", "viewer", "four words of mine", NOW)
    app = create_app(tmp_path, True, web=WebSettings(prefix=PREFIX))
    with TestClient(app, "http://monitor.example") as client:
        answer = client.post(
            f"{PREFIX}/login",
            data={"name": "ann", "password": "four words of mine", "next": "/sources"},
            headers={"Origin": "http://monitor.example"}, follow_redirects=False,
        )  # fmt: skip
        assert answer.headers["location"] == f"{PREFIX}/sources"
        assert f"Path={PREFIX};" in answer.headers["set-cookie"] + ";"
        assert client.get(f"{PREFIX}/status.json").status_code == 503  # no lake: let in
        assert client.get("/status.json").status_code == 401  # the browser keeps the cookie back


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/hoursight", "/"), ("/hoursight/", "/"), ("/hoursight/a", "/a"), ("/a", "/a"),
        ("/servers/hoursight", "/servers/hoursight"), ("/hoursightly", "/hoursightly"),
        ("/hoursight/servers/hoursight", "/servers/hoursight"),
        ("/hoursight/hoursight", "/hoursight"),
    ],
)  # fmt: skip
def test_the_prefix_is_taken_off_once_and_at_the_start(path: str, inside: str) -> None:
    scope: Any = {"path": path, "raw_path": path.encode()}
    _strip(scope, PREFIX)
    assert scope == {"path": inside, "raw_path": inside.encode()}


def test_a_cookie_of_the_whole_site_is_of_the_prefix_alone() -> None:
    given = b'a="/; Path=/x"; HttpOnly; Path=/; SameSite=lax'
    assert _with_path(given, b"/p") == b'a="/; Path=/x"; HttpOnly; Path=/p; SameSite=lax'
