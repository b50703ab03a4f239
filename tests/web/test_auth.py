"""Who may read, push and run functions, by address, host name, proxy and API key."""

import base64
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar.testing import TestClient

from storage.config.api_keys import create_key, revoke_key
from storage.config.folders import Folders
from tests.conftest import NOW
from tests.web.conftest import Client
from web.__main__ import main
from web.app import create_app

RECORD = [{"server": "a", "ts": "2026-05-06T12:00:00Z", "mem_used_pct": 1.0}]


def site(data: Path, exposed: bool, host: str) -> Client:
    return TestClient(create_app(data, exposed), f"http://{host}")


@pytest.fixture(params=[False, True], ids=["loopback", "public"])
def keyed(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[Client, dict[str, str]]]:
    """A site with a key of each scope."""
    keys = {s: create_key(Folders.at(tmp_path), s, [s], NOW) for s in ("feed", "read", "admin")}
    with site(tmp_path, request.param, "127.0.0.1") as client:
        yield client, keys


def basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{key}".encode()).decode()


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "127.0.0.1:80", "[::1]:8080"])
def test_without_any_key_this_machine_may_do_everything(tmp_path: Path, host: str) -> None:
    with site(tmp_path, False, "127.0.0.1") as client:
        headers = {"Host": host}
        assert client.get("/status.json", headers=headers).status_code == 503  # no lake: let in
        assert client.post("/feed", json=RECORD, headers=headers).status_code == 503
        assert client.post("/api/v1/functions/risk", headers=headers).status_code == 503


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example:8080"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1;host=localhost"},
        {"X-Real-IP": "127.0.0.1"},
    ],
)
def test_another_name_or_a_proxy_is_not_this_machine(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    with site(tmp_path, False, "127.0.0.1") as client:
        for answer in (
            client.get("/", headers=headers), client.post("/feed", json=RECORD, headers=headers),
        ):  # fmt: skip
            assert answer.status_code == 401
            assert "serves localhost only" in answer.text
            assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("path", ["/feed", "/write", "/api/v1/write", "/api/v1/functions/risk"])
@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"},
                {"Sec-Fetch-Site": "cross-site"}],
)  # fmt: skip
def test_a_page_of_another_site_cannot_push_or_run_functions(
    tmp_path: Path, path: str, headers: dict[str, str]
) -> None:
    with site(tmp_path, False, "127.0.0.1") as client:
        answer = client.post(path, headers=headers)
        assert answer.status_code == 403
        assert "are not accepted" in answer.json()["detail"]


def test_with_keys_nobody_pushes_or_runs_without_one(
    keyed: tuple[Client, dict[str, str]],
) -> None:
    client, keys = keyed
    endpoints = ("/feed", "/feed/data", "/api/v2/write", "/write", "/api/v1/write")
    for path in (*endpoints, "/api/v1/functions/risk"):
        missing, wrong = client.post(path), client.post(path, headers={"X-API-Key": "hs_x"})
        read = client.post(path, headers={"X-API-Key": keys["read"]})
        assert [a.status_code for a in (missing, wrong, read)] == [401, 403, 403]
        for answer in (missing, wrong, read):
            assert "hoursight keys create --scope" in answer.json()["remedy"]
    assert "has the scope read only" in read.json()["detail"]


def test_a_key_is_accepted_in_any_of_four_headers(keyed: tuple[Client, dict[str, str]]) -> None:
    client, keys = keyed
    for headers in (
        {"X-API-Key": keys["feed"]}, {"Authorization": f"Bearer {keys['feed']}"},
        {"Authorization": f"Token {keys['feed']}"}, {"Authorization": basic(keys["feed"])},
    ):  # fmt: skip
        assert client.post("/feed", json=RECORD, headers=headers).status_code == 503
    for headers in ({"Authorization": "Basic !"}, {"Authorization": basic("x")}):
        assert client.post("/feed", json=RECORD, headers=headers).status_code == 403


def test_only_admin_keys_run_functions(keyed: tuple[Client, dict[str, str]]) -> None:
    client, keys = keyed
    status = {
        scope: client.post("/api/v1/functions/risk", headers={"X-API-Key": key}).status_code
        for scope, key in keys.items()
    }
    assert status == {"feed": 403, "read": 403, "admin": 503}


def test_a_public_site_serves_only_its_health_without_a_key(tmp_path: Path) -> None:
    key = create_key(Folders.at(tmp_path), "me", ["read"], NOW)
    with site(tmp_path, True, "127.0.0.1") as client:  # whatever the request calls it
        for path in ("/", "/fleet.json", "/servers/a", "/live", "/status.json", "/schema"):
            assert client.get(path).status_code == 401
        assert client.get("/healthz").status_code == 200
        assert client.get("/schema", headers={"Authorization": basic(key)}).status_code == 200
        page = client.get("/", headers={"Accept": "text/html"})
        assert "An API key is required" in page.text
        revoke_key(Folders.at(tmp_path), "me")
        assert client.get("/schema", headers={"X-API-Key": key}).status_code == 403


def test_a_damaged_key_file_blocks_every_endpoint(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    with site(tmp_path, False, "127.0.0.1") as client:
        answer = client.post("/feed", json=RECORD)
    assert answer.status_code == 503
    assert "is damaged" in answer.json()["message"]


def test_the_site_does_not_start_on_a_public_address_without_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["--data", str(tmp_path), "--host", "192.0.2.1"])
    assert exit_info.value.code == os.EX_CONFIG
    assert re.search(r"no key was made.*keys create --scope admin", capsys.readouterr().err)
