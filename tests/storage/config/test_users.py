"""Users: roles, passwords as hashes, and what ends a session."""

import pytest

from storage.config.folders import Folders
from storage.config.users import (
    _HASHER,
    NOBODY,
    UserError,
    Users,
    add_user,
    change_password,
    remove_user,
)
from tests.conftest import NOW

GOOD = "four words of mine"


@pytest.fixture
def folders(tmp_path) -> Folders:
    return Folders.at(tmp_path)


def test_a_user_is_verified_by_the_password_of_which_only_the_hash_is_kept(folders) -> None:
    add_user(folders, "ann", "operator", GOOD, NOW)
    users = Users(folders)
    assert users.verified("ann", GOOD).role == "operator"
    for name, password in (("ann", GOOD + "!"), ("ann", ""), ("bob", GOOD), ("ann", "x" * 999)):
        assert users.verified(name, password) is None
    text = folders.users.read_text()
    assert GOOD not in text
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in text
    assert folders.users.stat().st_mode & 0o777 == 0o600


def test_an_unknown_user_costs_the_same_hash_as_a_known_one() -> None:
    assert not _HASHER.check_needs_rehash(NOBODY)


def test_another_password_and_a_removal_count_at_once(folders) -> None:
    before = add_user(folders, "ann", "viewer", GOOD, NOW)
    users = Users(folders)
    assert users.find("ann") == before
    after = change_password(folders, "ann", "another long one")
    assert after.version != before.version
    assert users.verified("ann", GOOD) is None
    assert users.verified("ann", "another long one") == after
    remove_user(folders, "ann")
    assert users.find("ann") is None
    assert users.required()


@pytest.mark.parametrize(
    ("name", "role", "password", "words"),
    [
        ("ann", "root", GOOD, "role is 'root', expected one of viewer, operator, admin"),
        ("", "viewer", GOOD, "name '' is not valid"),
        ("a b", "viewer", GOOD, "name 'a b' is not valid"),
        ("ann", "viewer", "short", "the password has 5 characters, expected 10 to 200"),
        ("ann", "viewer", "x" * 201, "the password has 201 characters"),
        ("Longer.Name", "viewer", "longer.name", "the password is the name"),
    ],
)
def test_a_user_that_is_not_valid_is_refused_with_the_reason(
    folders, name, role, password, words
) -> None:
    with pytest.raises(UserError, match=words.replace(".", r"\.")):
        add_user(folders, name, role, password, NOW)
    assert not folders.users.exists()


def test_a_name_that_exists_or_is_unknown_is_named(folders) -> None:
    add_user(folders, "ann", "viewer", GOOD, NOW)
    with pytest.raises(UserError, match="a user named 'ann' exists already"):
        add_user(folders, "ann", "admin", GOOD, NOW)
    with pytest.raises(UserError, match=r"no user is named 'bob' \(existing users: ann\)"):
        remove_user(folders, "bob")


def test_a_damaged_file_is_named_with_the_remedy(folders) -> None:
    folders.users.write_text("{")
    with pytest.raises(UserError, match=r"users\.json is damaged") as refused:
        Users(folders).known()
    assert refused.value.remedy == (
        "remove it and create the users again with 'hoursight users add'"
    )
