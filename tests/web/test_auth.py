"""Who may read, push and run functions, by address, host name, proxy and API key."""

import base64
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from litestar.testing import RequestFactory, TestClient

from storage.config.api_keys import create_key, revoke_key
from storage.config.folders import Folders
from storage.config.key_usage import read_key_usage
from storage.config.web_settings import ProxySettings, WebSettings
from tests.conftest import NOW
from tests.web.conftest import Client
from web.__main__ import _warn_without_keys, main
from web.access_trace import AccessTrace
from web.app import create_app
from web.auth import Auth
from web.identity import Identity

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
        {"Via": "1.1 squid"},
        {"X-Forwarded-Proto": "https"},
        {"CF-Connecting-IP": "127.0.0.1"},
        {"True-Client-IP": "127.0.0.1"},
        {"X-ORIGINAL-HOST": "monitor.example"},
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
        assert str(tmp_path) not in client.get("/readyz").text
        assert client.get("/schema", headers={"Authorization": basic(key)}).status_code == 200
        page = client.get("/", headers={"Accept": "text/html"})
        assert "An API key is required" in page.text
        revoke_key(Folders.at(tmp_path), "me")
        assert client.get("/schema", headers={"X-API-Key": key}).status_code == 403


@pytest.mark.parametrize("content", ["{", "", "null", "[{}]", "\x00"])
def test_a_damaged_key_file_blocks_every_endpoint(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with site(tmp_path, False, "127.0.0.1") as client:
        for answer in (client.post("/feed", json=RECORD), client.get("/status.json")):
            assert answer.status_code == 503
            assert "keys.json is damaged" in answer.json()["message"]
            assert str(tmp_path) not in answer.text


def remove(folders: Folders) -> None:
    folders.keys.unlink()


def revoke(folders: Folders) -> None:
    revoke_key(folders, "me")


def empty(folders: Folders) -> None:
    folders.keys.write_bytes(b"")


def unlist(folders: Folders) -> None:
    folders.keys.write_text("[]")


def dangle(folders: Folders) -> None:
    folders.keys.unlink()
    folders.keys.symlink_to("nowhere")


def obstruct(folders: Folders) -> None:
    folders.keys.unlink()
    folders.keys.mkdir()


@pytest.mark.parametrize("loss", [remove, revoke, empty, unlist, dangle, obstruct])
def test_the_loss_of_the_keys_opens_nothing(
    tmp_path: Path, loss: Callable[[Folders], None]
) -> None:
    create_key(Folders.at(tmp_path), "me", ["admin"], NOW)
    with site(tmp_path, False, "127.0.0.1") as client:
        assert client.get("/status.json").status_code == 401
        loss(Folders.at(tmp_path))
        for answer in (client.get("/status.json"), client.post("/api/v1/functions/risk")):
            assert answer.status_code == (401 if loss in (revoke, unlist) else 503)
            assert answer.json()["detail"].startswith(("an API key is required", "keys.json"))


def test_reading_without_a_key_is_by_choice_and_from_this_machine(tmp_path: Path) -> None:
    create_key(Folders.at(tmp_path), "me", ["admin"], NOW)
    app = create_app(tmp_path, read_without_key=True)
    with TestClient(app, "http://127.0.0.1") as client:
        assert client.get("/status.json").status_code == 503  # no lake: let in
        assert client.get("/status.json", headers={"Via": "1.1 x"}).status_code == 401
        assert client.post("/feed", json=RECORD).status_code == 401
        assert client.post("/api/v1/functions/risk").status_code == 401


LOCAL = {"Host": "127.0.0.1:8080"}


@pytest.mark.parametrize(
    ("version", "headers", "granted"),
    [
        ("1.1", LOCAL, True),
        ("1.1", {"Host": "LOCALHOST"}, True),
        ("1.1", LOCAL | {"Connection": "close", "User-Agent": "curl/8"}, True),
        ("1.0", LOCAL | {"Connection": "close"}, False),  # nginx: proxy_pass alone
        ("2", LOCAL, False),
        ("1.1", {"Host": "127.0.0.1@evil.example"}, False),
        ("1.1", {"Host": "[::1"}, False),
        ("1.1", {"Host": "localhost."}, False),
        ("1.1", {}, False),
        *[
            ("1.1", LOCAL | {name: "x"}, False)
            for name in ("Forwarded", "X-Forwarded", "X-Forwarded-Prefix", "CF-Ray", "CDN-Loop",
                         "X-Envoy-External-Address", "Tailscale-User-Login", "Proxy-Connection",
                         "X-Amzn-Trace-Id", "X-Cluster-Client-IP", "Remote-User", "X_Forwarded_For")
        ],
    ],
)  # fmt: skip
def test_only_a_direct_request_is_of_this_machine(
    tmp_path: Path, version: str, headers: dict[str, str], granted: bool
) -> None:
    folders = Folders.at(tmp_path)
    auth = Auth(folders, AccessTrace(folders), exposed=False, read_without_key=False)
    request = RequestFactory().get("/", headers=headers, http_version=version)
    if "Host" not in headers:
        request.scope["headers"] = []
    assert all(auth.grants(request, scope) is granted for scope in ("read", "feed", "admin"))


def test_a_start_without_keys_warns_of_what_is_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _warn_without_keys(Folders.at(tmp_path))
    assert re.search(r"no API key exists: every user .* run functions, .*keys create", caplog.text)
    caplog.clear()
    create_key(Folders.at(tmp_path), "me", ["read"], NOW)
    _warn_without_keys(Folders.at(tmp_path))
    assert not caplog.records
    Folders.at(tmp_path).keys.write_text("{")
    _warn_without_keys(Folders.at(tmp_path))
    assert "every request is refused: keys.json is damaged" in caplog.text


@pytest.mark.parametrize(
    "origin", ["http://[", "http://\u2100", "http://127.0.0.1:x", "//", "\u00e9"]
)
def test_an_origin_that_is_not_one_is_of_another_site(tmp_path: Path, origin: str) -> None:
    with site(tmp_path, False, "127.0.0.1") as client:
        answer = client.post("/feed", headers=[(b"Origin", origin.encode())])
        assert answer.status_code == 403


@pytest.mark.parametrize("header", [b"X-API-Key", b"Authorization"])
@pytest.mark.parametrize(
    "value", [b"\xff\xfe", b"Basic \xff", b"Bearer \xed\xa0\x80", b"Basic " + b"=" * 99]
)
def test_a_key_of_any_bytes_is_refused(tmp_path: Path, header: bytes, value: bytes) -> None:
    create_key(Folders.at(tmp_path), "me", ["read"], NOW)
    with site(tmp_path, True, "127.0.0.1") as client:
        assert client.get("/status.json", headers=[(header, value)]).status_code in (401, 403)


def test_used_and_refused_keys_are_counted_and_recorded(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    key = {"X-API-Key": create_key(folders, "prometheus", ["read"], NOW)}
    with site(tmp_path, True, "127.0.0.1") as client:
        for headers in ({}, {"X-API-Key": "hs_x"}, {"Host": "["}, key, key):
            client.get("/status.json", headers=headers)
        client.post("/feed", headers=key)
        client.post("/feed", headers=key | {"Origin": "http://evil.example"})
        text = client.get("/metrics", headers=key).text
    assert 'hoursight_key_requests_total{key="prometheus"} 3' in text
    for reason in ("no_key", "unknown_key", "malformed", "scope", "other_site"):
        assert f'hoursight_refused_requests_total{{reason="{reason}"}} 1' in text
    usage = read_key_usage(folders)
    (tally,) = usage.used.values()
    assert (tally.requests, tally.address) == (3, "testclient")
    assert usage.refused["no_key"].requests == 1


def test_the_site_does_not_start_on_a_public_address_without_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["--data", str(tmp_path), "--host", "192.0.2.1"])
    assert exit_info.value.code == os.EX_CONFIG
    assert re.search(r"no API key exists.*keys create --scope admin", capsys.readouterr().err)


PROXY = ProxySettings(addresses=["10.0.0.5"], roles={"ops": "operator"}, default_role="viewer")


def by_proxy(data: Path, headers: list[tuple[str, str]], peer: str = "10.0.0.5") -> Identity | None:
    folders = Folders.at(data)
    auth = Auth(folders, AccessTrace(folders), True, False, WebSettings(proxy=PROXY))
    request = RequestFactory().get("/", headers={"Host": "monitor.example"})
    request.scope["headers"] = [(k.lower().encode(), v.encode()) for k, v in headers]
    request.scope["client"] = (peer, 1)
    return auth.visitor(request)


@pytest.mark.parametrize(
    ("headers", "role"),
    [
        ([("Remote-User", "ann"), ("Remote-Groups", "staff, ops")], "operator"),
        ([("Remote-User", "ann")], "viewer"),
        ([("Remote-Groups", "ops")], None),
        ([("Remote-User", " ")], None),
        ([("Remote-User", "ann"), ("Remote-User", "bob")], None),  # one is the visitor's own
        ([("Remote_User", "ann")], None),
    ],
)
def test_a_named_proxy_says_who_somebody_is(tmp_path: Path, headers, role: str | None) -> None:
    identity = by_proxy(tmp_path, headers)
    assert (identity.role if identity else None) == role
    assert by_proxy(tmp_path, headers, "10.0.0.6") is None


def test_the_address_behind_a_named_proxy_is_the_last_that_it_states(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    auth = Auth(folders, AccessTrace(folders), True, False, WebSettings(proxy=PROXY))
    request = RequestFactory().get("/", headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.7"})
    for peer, address in (("10.0.0.5", "203.0.113.7"), ("10.0.0.6", "10.0.0.6")):
        request.scope["client"] = (peer, 1)
        assert auth.address(request) == address


def test_a_named_proxy_closes_the_site_to_requests_of_this_machine(tmp_path: Path) -> None:
    app = create_app(tmp_path, web=WebSettings(proxy=PROXY))
    with TestClient(app, "http://127.0.0.1") as client:
        assert client.get("/status.json").status_code == 401
