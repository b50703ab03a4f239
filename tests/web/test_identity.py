"""Identities: the role that scopes amount to, and the key in a request's headers."""

import base64

import pytest

from storage.config.api_keys import ApiKey
from tests.conftest import NOW
from web.identity import Identity, token_of


@pytest.mark.parametrize(
    ("scopes", "role"),
    [
        (("read",), "viewer"), (("feed", "read"), "viewer"), (("operate",), "operator"),
        (("read", "admin"), "admin"), (("feed",), "feed"),
    ],
)  # fmt: skip
def test_the_scopes_of_a_key_amount_to_a_role(scopes: tuple[str, ...], role: str) -> None:
    identity = Identity.of_key(ApiKey("1", "k", scopes, NOW, ""))
    assert (identity.role, identity.ambient) == (role, False)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("viewer", ["read"]), ("operator", ["read", "operate", "mark"]),
        ("admin", ["read", "operate", "admin", "feed", "mark"]),
    ],
)  # fmt: skip
def test_a_role_allows_what_its_scope_includes(role: str, allowed: list[str]) -> None:
    identity = Identity.of_role("user", "ann", role)
    every = ("read", "operate", "admin", "feed", "mark")
    assert {scope for scope in every if identity.allows(scope)} == set(allowed)
    assert identity.ambient


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, None), ({"x-api-key": " k "}, "k"), ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "token k"}, "k"), ({"authorization": "Digest k"}, None),
        ({"authorization": f"Basic {base64.b64encode(b'u:p:q').decode()}"}, "p:q"),
        ({"authorization": "Basic !"}, ""), ({"x-api-key": "k", "authorization": "Bearer o"}, "k"),
    ],
)  # fmt: skip
def test_a_key_is_read_from_any_of_four_headers(headers: dict[str, str], token) -> None:
    assert token_of(headers) == token
