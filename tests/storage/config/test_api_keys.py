from contextlib import suppress
from pathlib import Path

import pytest

from storage.config.api_keys import (
    ApiKeyError,
    ApiKeys,
    PublicWithoutKey,
    create_key,
    includes,
    is_loopback,
    require_key_if_public,
    revoke_key,
)
from storage.config.folders import Folders
from tests.conftest import NOW


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path)


def test_a_key_is_found_by_its_token_and_kept_without_it(folders: Folders) -> None:
    token = create_key(folders, "telegraf", ["feed"], NOW)
    key = ApiKeys(folders).find(token)
    assert (key.name, key.scopes) == ("telegraf", ("feed",))
    secret = token.split("_", 2)[2]
    assert len(secret) == 43
    assert secret not in folders.keys.read_text()
    assert folders.keys.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in folders.data.iterdir()) == ["keys.json", "keys.lock"]


def test_no_other_token_finds_it(folders: Folders) -> None:
    token = create_key(folders, "telegraf", ["feed"], NOW)
    other = create_key(folders, "other", ["feed"], NOW)
    mixed = token[:16] + other[16:]
    ring = ApiKeys(folders)
    for wrong in ("", "hs_", mixed, token[:-1], f"{token} ", token.upper(), "hs_" + 12 * "0"):
        assert ring.find(wrong) is None


def test_an_admin_key_allows_everything_and_others_their_own(folders: Folders) -> None:
    create_key(folders, "boss", ["admin"], NOW)
    create_key(folders, "both", ["feed", "read"], NOW)
    boss, both = ApiKeys(folders).known()
    assert all(boss.allows(scope) for scope in ("feed", "read", "admin"))
    assert [both.allows(scope) for scope in ("feed", "read", "admin")] == [True, True, False]


@pytest.mark.parametrize(
    ("scope", "rights"),
    [
        ("feed", {"feed", "mark"}), ("read", {"read"}), ("operate", {"operate", "read", "mark"}),
        ("admin", {"feed", "read", "operate", "admin", "mark"}),
    ],
)  # fmt: skip
def test_a_scope_includes_what_its_role_needs_and_no_more(scope: str, rights: set[str]) -> None:
    every = ("feed", "read", "operate", "admin", "mark")
    assert {each for each in every if includes([scope], each)} == rights


def test_open_keys_see_keys_created_and_revoked(folders: Folders) -> None:
    ring = ApiKeys(folders)
    assert ring.known() == []
    token = create_key(folders, "telegraf", ["feed"], NOW)
    assert ring.find(token) is not None
    assert revoke_key(folders, "telegraf").name == "telegraf"
    assert ring.find(token) is None


@pytest.mark.parametrize(
    ("name", "scopes", "says"),
    [
        ("telegraf", ["feed"], "a key named 'telegraf' exists already"),
        ("x", ["write"], r"scope is write \(expected feed, read, operate or admin\)"),
        ("x", [], "scope is missing"),
        ("a b", ["feed"], "name 'a b' is not valid"),
    ],
)
def test_a_key_that_is_not_valid_is_refused_with_the_reason(
    folders: Folders, name: str, scopes: list[str], says: str
) -> None:
    create_key(folders, "telegraf", ["feed"], NOW)
    with pytest.raises(ApiKeyError, match=says):
        create_key(folders, name, scopes, NOW)
    with pytest.raises(ApiKeyError, match=r"no key is named 'nobody' \(existing keys: telegraf\)"):
        revoke_key(folders, "nobody")


def test_with_a_damaged_file_no_key_is_valid_and_the_error_names_the_remedy(
    folders: Folders,
) -> None:
    folders.keys.write_text('[{"id": 7}]')
    with pytest.raises(ApiKeyError, match=r"keys\.json is damaged .* create the keys again"):
        ApiKeys(folders).find("x")


def test_keys_are_required_from_the_first_one_on(folders: Folders) -> None:
    ring = ApiKeys(folders)
    assert not ring.required()
    create_key(folders, "telegraf", ["feed"], NOW)
    assert ring.required()
    revoke_key(folders, "telegraf")
    assert ring.required()
    assert ApiKeys(folders).required()


@pytest.mark.parametrize("first", ["[]", "{"])
def test_a_file_that_was_there_does_not_go_unnoticed(folders: Folders, first: str) -> None:
    folders.keys.write_text(first)
    ring = ApiKeys(folders)
    with suppress(ApiKeyError):
        ring.known()
    folders.keys.unlink()
    with pytest.raises(
        ApiKeyError, match=r"keys\.json is gone: restore it, or create the keys again"
    ):
        ring.required()
    create_key(folders, "telegraf", ["feed"], NOW)
    assert ring.required()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_a_loopback_address_needs_no_key(folders: Folders, host: str) -> None:
    assert is_loopback(host)
    require_key_if_public(folders, host)


PUBLIC = ["0.0.0.0", "::", "10.0.0.1", "monitor", "localhost.evil.example"]  # noqa: S104 - not bound


@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_address_needs_one(folders: Folders, host: str) -> None:
    require_key_if_public(folders, host, others=True)
    with pytest.raises(PublicWithoutKey, match="keys create --scope admin"):
        require_key_if_public(folders, host)
    create_key(folders, "me", ["admin"], NOW)
    require_key_if_public(folders, host)
