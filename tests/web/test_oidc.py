"""OpenID Connect: logins that wait for the browser, and the name in the claims."""

import pytest

from storage.config.web_settings import OidcSettings
from web.oidc import MAX_FLOWS, OidcFailed, OidcLogins, OidcProvider


def test_a_login_is_finished_once_and_by_its_own_browser_and_state() -> None:
    logins = OidcLogins()
    token, flow = logins.begin("http://here/return", "/sources")
    assert logins.finish(token, flow.state) == flow
    for wrong in (token, "", "x"):
        with pytest.raises(OidcFailed, match="took too long, or began in another browser"):
            logins.finish(wrong, flow.state)


@pytest.mark.parametrize("state", ["", "x", "\ud800", "\u00e4"])
def test_a_wrong_state_ends_the_login(state: str) -> None:
    logins = OidcLogins()
    token, flow = logins.begin("http://here/return", "/")
    with pytest.raises(OidcFailed, match="belongs to another login"):
        logins.finish(token, state)
    with pytest.raises(OidcFailed, match="took too long"):
        logins.finish(token, flow.state)


def test_logins_that_wait_are_bounded_and_the_oldest_goes() -> None:
    logins = OidcLogins()
    begun = [logins.begin("http://here/return", "/") for _ in range(MAX_FLOWS + 1)]
    with pytest.raises(OidcFailed):
        logins.finish(begun[0][0], begun[0][1].state)
    assert logins.finish(begun[1][0], begun[1][1].state) == begun[1][1]


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "ann", "email": "a@x"}, "ann"), ({"email": "a@x"}, "a@x"),
        ({"preferred_username": " ", "sub": 7}, "7"), ({}, "somebody"),
        ({"sub": "a\n\u202eb"}, "a??b"), ({"sub": "x" * 99}, "x" * 64),
    ],
)  # fmt: skip
def test_the_name_is_the_claim_of_the_settings_else_mail_or_subject(claims, name: str) -> None:
    assert OidcProvider(OidcSettings()).name_in(claims) == name
