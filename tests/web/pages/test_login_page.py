"""Login and logout: sessions by password and by key, their ends, and what is refused."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.config.api_keys import create_key, revoke_key
from storage.config.folders import Folders
from storage.config.users import add_user, change_password, remove_user
from storage.ipc.rpc import serve_rpc
from tests.conftest import NOW
from tests.web.api.test_functions_api import Engine
from tests.web.conftest import Client
from tests.web.test_auth import site
from web.identity import SESSION_COOKIE
from web.login_limits import MAX_OF_ADDRESS

GOOD = "four words of mine"
CARD = r"<section.*?</section>"
HTML = {"Accept": "text/html"}
ORIGIN = {"Origin": "http://monitor.example"}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of two users: hashing takes its time."""
    folders = Folders.at(tmp_path_factory.mktemp("people"))
    add_user(folders, "ann", "operator", GOOD, NOW)
    add_user(folders, "vic", "viewer", GOOD, NOW)
    return folders.users.read_text()


@pytest.fixture
def folders(tmp_path: Path, people: str) -> Folders:
    folders = Folders.at(tmp_path).create()
    folders.users.write_text(people)
    return folders


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def client(folders: Folders, engine: Engine) -> Iterator[Client]:
    with serve_rpc(folders.rpc_socket, engine), site(folders.data, True, "monitor.example") as c:
        c.headers.update(ORIGIN)
        yield c


def log_in(client, name="ann", secret=GOOD, wanted="/", **headers):
    form = {"name": name, "password": secret, "next": wanted}
    return client.post("/login", data=form, headers=headers, follow_redirects=False)


def test_a_browser_without_a_session_gets_the_login_that_leads_back(client: Client) -> None:
    page = client.get("/servers/a%2Fb?span=7d", headers=HTML)
    assert page.status_code == 401
    assert "A login or an API key is required" in page.text
    assert 'name="next" value="/servers/a/b?span=7d"' in page.text
    assert "www-authenticate" not in page.headers  # or the browser asks in a dialog of its own
    assert "sse-connect" not in page.text
    assert client.get("/status.json").headers["www-authenticate"].startswith("Basic")


def test_a_page_that_is_open_when_its_session_ends_is_loaded_again(client: Client) -> None:
    fragment = client.get("/", headers={"HX-Request": "true"})
    assert (fragment.status_code, fragment.headers["hx-refresh"]) == (401, "true")


def test_a_password_opens_a_session_with_the_rights_of_the_role(client: Client) -> None:
    answer = log_in(client, wanted="/sources?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sources?x=1")
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=604800"):
        assert part in cookie
    assert "Secure" not in cookie
    page = client.get("/login", headers=HTML)
    assert "Logged in as ann, operator" in page.text
    assert "Log out" in page.text
    assert client.get("/status.json").status_code == 503  # no lake: let in
    silence = {"kind": "silence", "pattern": "*"}
    assert client.post("/api/v1/marks", json=silence).status_code == 200
    refused = client.post("/api/v1/functions/risk")
    assert refused.status_code == 403
    assert refused.json()["detail"] == "ann has the role operator only"


def test_a_viewer_changes_nothing(client: Client) -> None:
    log_in(client, "vic")
    refused = client.post("/api/v1/marks", json={"kind": "silence", "pattern": "*"})
    assert refused.status_code == 403
    assert refused.json()["remedy"] == "log in as somebody with the role operator"


def test_a_key_opens_a_session_until_it_is_revoked(client: Client, folders: Folders) -> None:
    key = create_key(folders, "wall", ["read"], NOW)
    assert log_in(client, "", key).status_code == 303
    assert client.get("/status.json").status_code == 503
    revoke_key(folders, "wall")
    assert client.get("/status.json").status_code == 401
    again = log_in(client, "", key)
    assert (again.status_code, "is unknown or was revoked" in again.text) == (401, True)


def test_a_key_that_cannot_read_opens_no_session(client: Client, folders: Folders) -> None:
    answer = log_in(client, "", create_key(folders, "telegraf", ["feed"], NOW))
    assert answer.status_code == 401
    assert "has the scope feed only" in answer.text


@pytest.mark.parametrize("end", ["logout", "password", "removal"])
def test_a_session_ends_by_logout_and_with_what_it_was_opened_by(
    client: Client, folders: Folders, end: str
) -> None:
    log_in(client)
    token = client.cookies[SESSION_COOKIE]
    if end == "logout":
        left = client.post("/logout", follow_redirects=False)
        assert left.headers["location"] == "/login"
        assert f'{SESSION_COOKIE}=""; ' in left.headers["set-cookie"]
    elif end == "password":
        change_password(folders, "ann", "another long one")
    else:
        remove_user(folders, "ann")
    headers = {"Cookie": f"{SESSION_COOKIE}={token}"}
    assert client.get("/status.json", headers=headers).status_code == 401


def test_a_login_gives_a_new_token_and_ends_the_session_before(client: Client) -> None:
    log_in(client)
    first = client.cookies[SESSION_COOKIE]
    log_in(client)
    assert client.cookies[SESSION_COOKIE] != first
    client.cookies.clear()
    headers = {"Cookie": f"{SESSION_COOKIE}={first}"}
    assert client.get("/status.json", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "headers", [{"X-Forwarded-Proto": "https"}, {"Origin": "https://monitor.example"}]
)
def test_the_cookie_is_for_tls_alone_where_the_browser_speaks_it(client: Client, headers) -> None:
    assert "Secure" in log_in(client, **headers).headers["set-cookie"]


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_a_login_leads_to_this_site_only(client: Client, wanted: str) -> None:
    assert log_in(client, wanted=wanted).headers["location"] == "/"
    assert 'value="/"' in client.get("/login", params={"next": wanted}).text


def test_a_wrong_password_and_an_unknown_name_are_answered_alike(client: Client) -> None:
    answers = [log_in(client, name, "not the password") for name in ("ann", "nobody")]
    assert {answer.status_code for answer in answers} == {401}
    cards = [re.sub(r'value="\w+"', "", re.search(CARD, a.text, re.S)[0]) for a in answers]
    assert cards[0] == cards[1]
    assert "The name or the password is wrong" in cards[0]


def test_an_address_that_fails_too_often_waits_and_others_do_not(client: Client) -> None:
    for n in range(MAX_OF_ADDRESS):
        assert log_in(client, f"user{n}", "hs_x").status_code == 401
    limited = log_in(client)
    assert limited.status_code == 429
    assert int(limited.headers["retry-after"]) > 500
    assert "Try again in 10 min" in limited.text


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"},
                {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
)  # fmt: skip
def test_a_page_of_another_site_can_neither_log_in_nor_use_a_session(client, headers) -> None:
    assert log_in(client, **headers).status_code == 403
    log_in(client)
    for path in ("/api/v1/marks", "/logout"):
        assert client.post(path, json={}, headers=headers).status_code == 403


def test_a_change_by_cookie_that_does_not_say_where_it_comes_from_is_refused(client) -> None:
    log_in(client)
    del client.headers["Origin"]
    refused = client.post("/api/v1/marks", json={"kind": "silence", "pattern": "*"})
    assert refused.status_code == 403
    assert "does not say which page sent it" in refused.json()["detail"]
    assert client.get("/status.json").status_code == 503


@pytest.mark.parametrize("body", [b"\xff=1", b"&".join(b"a=1" for _ in range(99)), b"", b"name"])
def test_a_form_of_any_bytes_is_refused(client: Client, body: bytes) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/login", content=body, headers=form).status_code in (400, 401)
    assert client.post("/login", content=b"x" * 20_000, headers=form).status_code == 413


def test_logins_and_what_is_done_after_them_are_in_the_audit(client, engine: Engine) -> None:
    log_in(client, "ann", "not the password")
    log_in(client)
    client.post("/api/v1/marks", json={"kind": "silence", "pattern": "web-*", "note": "patches"})
    client.post("/logout")
    client.__exit__()  # the site ends, and sends what it has
    rows = [(r["actor"], r["action"], r["outcome"], r.get("target")) for r in engine.audit]
    assert rows == [
        ("ann", "login", "refused", None), ("ann", "login", "done", None),
        ("ann", "silence", "done", "web-*"), ("ann", "logout", "done", None),
    ]  # fmt: skip
    assert engine.audit[2]["role"] == "operator"
    assert GOOD not in str(engine.audit)


def test_without_users_and_keys_nobody_needs_to_log_in(tmp_path: Path) -> None:
    with site(tmp_path, False, "127.0.0.1") as client:
        page = client.get("/login")
        assert "Nobody needs to log in from this machine" in page.text
        assert 'class="account"' not in page.text
