"""The endpoint of the Model Context Protocol; its tools are in tests/web/test_mcp_server.py."""

from importlib.machinery import ModuleSpec

import pytest

from tests.web.conftest import Client
from web.api import mcp_api


def test_without_the_package_it_says_how_to_install_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(mcp_api, "find_spec", missing)
    answer = client.post("/mcp", json={})
    assert answer.status_code == 501
    assert "pip install 'hoursight[mcp]'" in answer.text


def test_a_page_of_another_site_cannot_call_it(client: Client) -> None:
    answer = client.post("/mcp", json={}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_message_of_the_protocol_is_refused(client: Client, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    answer = client.post("/mcp", content=body, headers=headers)
    assert 400 <= answer.status_code < 500
