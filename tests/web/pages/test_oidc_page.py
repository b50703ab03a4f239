"""Login at an OpenID Connect provider: sessions by groups, and every answer that is not valid."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar.testing import TestClient

from storage.config.web_settings import OidcSettings, WebSettings
from tests.web.conftest import Client
from tests.web.oidc_double import (
    CLIENT,
    SECRET,
    ProviderDouble,
    other_key,
    provider_double,
    shared_key,
)
from web.app import create_app


@pytest.fixture
def provider() -> Iterator[ProviderDouble]:
    with provider_double() as provider:
        yield provider


def settings(provider: ProviderDouble, folder: Path) -> WebSettings:
    (folder / "secret").write_text(f"{SECRET}\n")
    return WebSettings(oidc=OidcSettings(
        issuer=provider.issuer, client_id=CLIENT, client_secret_file=f"{folder}/secret",
        roles={"ops": "operator"},
    ))  # fmt: skip


@pytest.fixture
def client(tmp_path: Path, provider: ProviderDouble) -> Iterator[Client]:
    web = settings(provider, tmp_path)
    with TestClient(create_app(tmp_path / "var", True, web=web), "http://monitor.example") as c:
        yield c


def returned(client: Client, provider: ProviderDouble, **changed: str):
    """Log in at the provider, and come back."""
    begun = client.get("/login/oidc", params={"next": "/sources"}, follow_redirects=False)
    assert begun.status_code == 303, begun.text
    answer = provider.authorize(begun.headers["location"]) | changed
    return client.get("/login/oidc/return", params=answer, follow_redirects=False)


def test_a_group_of_the_provider_gives_a_role(client: Client, provider: ProviderDouble) -> None:
    page = client.get("/", headers={"Accept": "text/html"})
    assert f"Log in at {provider.issuer.removeprefix('http://')}" in page.text
    assert '<input id="password"' not in page.text
    answer = returned(client, provider)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sources")
    assert "Logged in as ann, operator" in client.get("/login").text
    assert client.get("/status.json").status_code == 503  # no lake: let in


WRONG: dict[str, dict[str, object]] = {
    "nonce": {"claims": {"nonce": "another"}},
    "audience": {"claims": {"aud": "another"}},
    "issuer": {"claims": {"iss": "http://another.example"}},
    "expired": {"claims": {"exp": int(time.time()) - 600}},
    "party": {"claims": {"azp": "another"}},
    "signature": {"signs_with": other_key()},
    "none": {"header": {"alg": "none"}},
    "shared": {"header": {"alg": "HS256"}, "signs_with": shared_key()},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_id_token_that_is_not_valid_opens_no_session(
    client: Client, provider: ProviderDouble, wrong: str
) -> None:
    for name, value in WRONG[wrong].items():
        setattr(provider, name, value)
    refused = returned(client, provider)
    assert refused.status_code == 403
    assert "ID token is not valid" in refused.text
    assert client.get("/status.json").status_code == 401


def test_an_answer_to_another_login_opens_no_session(
    client: Client, provider: ProviderDouble
) -> None:
    assert "belongs to another login" in returned(client, provider, state="x").text
    assert "gave no token" in returned(client, provider, code="x").text
    assert (
        "refused the login: access_denied"
        in returned(client, provider, code="", error="access_denied").text
    )
    client.cookies.clear()
    assert "began in another browser" in client.get("/login/oidc/return?state=x&code=y").text
    assert client.get("/status.json").status_code == 401


def test_a_code_is_used_once(client: Client, provider: ProviderDouble) -> None:
    url = client.get("/login/oidc", follow_redirects=False).headers["location"]
    cookie = {"Cookie": f"hoursight_login={client.cookies['hoursight_login']}"}
    answer = provider.authorize(url)
    assert (
        client.get("/login/oidc/return", params=answer, follow_redirects=False).status_code == 303
    )
    client.cookies.clear()
    again = client.get("/login/oidc/return", params=answer, headers=cookie)
    assert again.status_code == 403


def test_somebody_without_a_group_has_no_role(client: Client, provider: ProviderDouble) -> None:
    provider.claims = {"email": "bob@example.org", "groups": ["sales"]}
    refused = returned(client, provider)
    assert refused.status_code == 403
    assert "bob@example.org has no role on this site" in refused.text.lower()


def test_a_new_key_of_the_provider_is_fetched(client: Client, provider: ProviderDouble) -> None:
    assert returned(client, provider).status_code == 303
    provider.key = provider.signs_with = type(provider.key).generate_key("P-256", {"kid": "2"})
    provider.header = {"alg": "ES256", "kid": "2"}
    assert returned(client, provider).status_code == 303


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"issuer": "http://127.0.0.1:1"}, "cannot be read"),
        ({"client_secret_file": "/nowhere"}, "client_secret_file cannot be read"),
    ],
)
def test_a_provider_that_cannot_be_used_is_named(tmp_path, provider, change, words) -> None:
    oidc = settings(provider, tmp_path).oidc
    values = {name: getattr(oidc, name) for name in oidc.__struct_fields__} | change
    app = create_app(tmp_path / "var", True, web=WebSettings(oidc=OidcSettings(**values)))
    with TestClient(app, "http://monitor.example") as client:
        answer = client.get("/login/oidc", follow_redirects=False)
    assert answer.status_code == 503
    assert words in answer.text


def test_without_a_provider_there_is_no_such_page(tmp_path: Path) -> None:
    with TestClient(create_app(tmp_path), "http://127.0.0.1") as client:
        assert client.get("/login/oidc").status_code == 404
