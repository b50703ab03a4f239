"""Answers to what a person does on a page."""

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from web.actions import back_to
from web.rendering import NOTICE_COOKIE


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/alerts?x=1", "/alerts?x=1"), ("//evil.example", "/"), ("https://evil.example", "/"),
        ("/\\evil.example", "/"), ("/a\r\nSet-Cookie: x=1", "/"), ("", "/"),
    ],
)  # fmt: skip
def test_an_action_leads_back_to_this_site_only(path: str, expected: str) -> None:
    assert back_to(path, "Done").url == expected


def test_a_page_shows_once_what_came_of_an_action(client: TestClient[Litestar]) -> None:
    cookie = back_to("/", "Silenced <b>web-1</b> for 2 h").cookies[0]
    page = client.get("/", headers={"Cookie": f"{NOTICE_COOKIE}={cookie.value}"})
    assert 'role="status">Silenced &lt;b&gt;web-1&lt;/b&gt; for 2 h' in page.text
    assert f'{NOTICE_COOKIE}=""; Max-Age=0' in page.headers["set-cookie"]


def test_a_notice_that_is_not_ours_is_ignored(client: TestClient[Litestar]) -> None:
    page = client.get("/", headers={"Cookie": f"{NOTICE_COOKIE}=bm90IGpzb24="})
    assert page.status_code == 200
    assert 'class="notice' not in page.text
