"""Every page: headers, static files, errors, the API description and vendored files."""

import hashlib
import re
from pathlib import Path

import pytest
from litestar.testing import TestClient

from tests.web.conftest import Client
from web.app import create_app
from web.pages import server_page
from web.rendering import STATIC

VENDOR = STATIC / "vendor"
SUMS = (VENDOR / "SHA256SUMS").read_text().splitlines()


@pytest.mark.parametrize("line", SUMS, ids=lambda line: line.split()[1])
def test_a_vendored_file_has_its_published_digest(line: str) -> None:
    digest, name = line.split()
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest


def test_every_vendored_file_has_a_sum_and_a_licence() -> None:
    names = {line.split()[1] for line in SUMS}
    assert {p.name for p in VENDOR.iterdir()} == names | {"SHA256SUMS"}
    for package in ("htmx-2.0.11", "htmx-ext-sse-2.2.4", "uplot-1.6.32"):
        assert f"{package}.LICENSE.txt" in names


def test_nothing_is_loaded_from_elsewhere(client: Client) -> None:
    for path in ("/", "/servers/nginx-1", "/servers/nobody"):
        answer = client.get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', answer.text)
        assert not re.findall(r"<script(?![^>]* src=)|<style| style=| on\w+=", answer.text)


def test_static_files_exist_and_are_cacheable(client: Client) -> None:
    page = client.get("/servers/nginx-1").text
    paths = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(paths) >= 7
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]


def test_the_api_description_needs_no_network(client: Client) -> None:
    for path in ("/schema", "/schema/openapi.json"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "/charts/{server}" in answer.json()["paths"]


def test_an_unknown_path_is_an_error_page(client: Client) -> None:
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert "Page not found" in answer.text


def test_an_internal_error_is_an_error_page_without_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of course")

    monkeypatch.setattr(server_page, "read_server", broken)
    with TestClient(
        create_app(tmp_path), "http://127.0.0.1", raise_server_exceptions=False
    ) as client:
        answer = client.get("/servers/a")
    assert answer.status_code == 500
    assert "Internal error" in answer.text
    assert "Traceback" not in answer.text
