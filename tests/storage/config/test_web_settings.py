"""Settings of the site: prefix, sessions, a trusted proxy and a provider of logins."""

import pytest

from storage.config.settings import SettingsError, read_settings
from storage.config.web_settings import OidcSettings, ProxySettings, RoleSettings

OIDC = """
issuer = "https://login.example"
client_id = "hoursight"
client_secret_file = "/run/secrets/oidc"
"""


def settings(tmp_path, text):
    (tmp_path / "hoursight.toml").write_text(text)
    return read_settings(tmp_path).web


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[web]\nprefix = "hoursight"', "web: prefix is 'hoursight', expected a path such as"),
        ('[web]\nprefix = "/a/"', "prefix is '/a/'"),
        ('[web]\nprefix = "/a?b"', "prefix is '/a"),
        ('[web.sessions]\nidle = "12"', "idle is '12', expected 1m to 365d"),
        ('[web.sessions]\nlongest = "1s"', "longest is '1s'"),
        ('[web.proxy]\naddresses = ["proxy"]', "addresses has 'proxy', expected an address"),
        ('[web.proxy]\naddresses = ["10.0.0.1"]\nuser_header = "a b"', "user_header is 'a b'"),
        ('[web.proxy]\naddresses = ["10.0.0.1"]\ndefault_role = "root"', "default_role is 'root'"),
        ('[web.oidc]\nclient_id = "a"', "issuer is '', expected an https:// URL"),
        ("[web.oidc]" + OIDC.replace("hoursight", ""), "client_id is missing"),
        (f'[web.oidc]{OIDC}roles = {{ops = "boss"}}', "roles.ops is 'boss', expected one of"),
        (f'[web.oidc]{OIDC}scopes = "email"', "scopes is 'email', expected 'openid'"),
        ("[web.oidc]" + OIDC.replace("https:", "http:"), "issuer is 'http://login.example'"),
        ("[web.oidc]" + OIDC.replace('"/run', '"run'), "client_secret_file is 'run/secrets"),
    ],
)
def test_a_setting_that_is_not_valid_is_named_with_what_is_expected(tmp_path, text, words) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(tmp_path, text)
    assert words in str(refused.value)


def test_without_settings_there_is_no_prefix_no_proxy_and_no_provider(tmp_path) -> None:
    web = settings(tmp_path, "")
    assert (web.prefix, web.proxy.addresses, web.oidc.issuer) == ("", [], "")
    assert settings(tmp_path, '[web]\nprefix = "/a/b-1"').prefix == "/a/b-1"


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.0.0.5", True), ("10.0.0.6", False), ("192.0.2.77", True), ("::ffff:10.0.0.5", True),
        ("2001:db8::1", True), ("2001:db8::2%eth0", False), ("testclient", False), ("", False),
    ],
)  # fmt: skip
def test_only_the_named_addresses_are_trusted(address, trusted) -> None:
    proxy = ProxySettings(addresses=["10.0.0.5", "192.0.2.0/24", "2001:db8::1"])
    assert proxy.trusts(address) is trusted


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["staff"], "viewer"), (["staff", "ops"], "operator"), ("root", "admin"), ([], "viewer"),
        (None, "viewer"), ({"ops": 1}, "viewer"), ([["ops"]], "viewer"), ("admin", "viewer"),
    ],
)  # fmt: skip
def test_the_highest_role_of_the_groups_counts(groups, role) -> None:
    mapping = RoleSettings(roles={"ops": "operator", "root": "admin"}, default_role="viewer")
    assert mapping.role_of(groups) == role


def test_without_a_default_role_somebody_without_a_group_has_none() -> None:
    oidc = OidcSettings(
        issuer="https://login.example", client_id="h",
        client_secret_file="/f",  # noqa: S106 - the name of a file
        roles={"ops": "operator"},
    )  # fmt: skip
    assert (oidc.role_of(["staff"]), oidc.role_of(["ops"])) == ("", "operator")
