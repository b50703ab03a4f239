"""Users: people who log in at the site, each with a role and a password, stored as its hash."""

import re
import secrets
from datetime import datetime
from typing import Literal

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from storage.config.entries_file import EntriesFile, Wording
from storage.config.folders import Folders
from storage.errors import HoursightError

__all__ = [
    "ROLES", "SCOPE_OF", "Role", "User", "UserError", "Users", "add_user", "change_password",
    "remove_user",
]  # fmt: skip

Role = Literal["viewer", "operator", "admin"]
# The scope of API keys that each role has, from the least to the most.
SCOPE_OF: dict[str, str] = {"viewer": "read", "operator": "operate", "admin": "admin"}
ROLES = tuple(SCOPE_OF)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
LEAST_CHARS, MOST_CHARS = 10, 200
# OWASP's second choice for Argon2id: 19 MiB, two passes.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 << 10, parallelism=1)
# Verified in place of an unknown user's, so that the time taken does not reveal which names exist.
NOBODY = (
    "$argon2id$v=19$m=19456,t=2,p=1$4vZEmcKRoSa4WKkKIA/N1Q$"
    "lbY9j6Q3ZjJcD0PVD919L5jXAeIXNElDAnQZY9025FM"
)


class UserError(HoursightError):
    """A user cannot be added, changed or removed, or the file of users cannot be read."""


class User(msgspec.Struct, frozen=True):
    """A user; `version` changes with the password, and ends the sessions before."""

    name: str
    role: Role
    created_at: datetime
    password: str
    version: str


WORDING = Wording(UserError, "users", "hoursight users add")


class Users:
    """The users of a data folder; their file is read again when it has changed."""

    def __init__(self, folders: Folders) -> None:
        self._file = EntriesFile(folders.users, User, WORDING)

    def known(self) -> list[User]:
        """All users, oldest first. Raises UserError when their file is damaged."""
        return list(self._file.entries())

    def required(self) -> bool:
        """Return True if a user has ever been added here. Raises UserError."""
        return self._file.seen()

    def find(self, name: str) -> User | None:
        """The user of that name. Raises UserError."""
        return next((user for user in self._file.entries() if user.name == name), None)

    def verified(self, name: str, password: str) -> User | None:
        """The user if the password is right; takes as long for an unknown one. Raises UserError."""
        user = self.find(name)
        try:
            _HASHER.verify(user.password if user else NOBODY, password[: MOST_CHARS + 1])
        except (VerificationError, InvalidHashError, ValueError):
            return None
        return user


def add_user(folders: Folders, name: str, role: str, password: str, now: datetime) -> User:
    """Add a user and return it. Raises UserError."""
    if role not in ROLES:
        raise UserError(f"role is {role!r}, expected one of {', '.join(ROLES)}")
    if not NAME.fullmatch(name):
        raise UserError(
            f"name {name!r} is not valid (expected letters, digits, dots, dashes, underscores and "
            "@, for example 'ann')"
        )
    user = User(name, role, now, _hashed(name, password), _version())  # type: ignore[arg-type]
    with _file(folders).changing() as users:
        if any(each.name == name for each in users):
            raise UserError(
                f"a user named {name!r} exists already: remove it, or choose another name"
            )
        users.append(user)
    return user


def remove_user(folders: Folders, name: str) -> User:
    """Remove a user and return it; its sessions end. Raises UserError."""
    with _file(folders).changing() as users:
        user = _named(users, name)
        users.remove(user)
    return user


def change_password(folders: Folders, name: str, password: str) -> User:
    """Change a user's password; its sessions end. Raises UserError."""
    hashed = _hashed(name, password)
    with _file(folders).changing() as users:
        user = _named(users, name)
        changed = msgspec.structs.replace(user, password=hashed, version=_version())
        users[users.index(user)] = changed
    return changed


def _file(folders: Folders) -> EntriesFile[User]:
    return EntriesFile(folders.users, User, WORDING)


def _named(users: list[User], name: str) -> User:
    for user in users:
        if user.name == name:
            return user
    known = ", ".join(user.name for user in users) or "none"
    raise UserError(f"no user is named {name!r} (existing users: {known})")


def _hashed(name: str, password: str) -> str:
    if not LEAST_CHARS <= len(password) <= MOST_CHARS:
        raise UserError(
            f"the password has {len(password)} characters, expected {LEAST_CHARS} to {MOST_CHARS}",
            "choose a longer one, for example of four words",
        )
    if password.casefold() == name.casefold():
        raise UserError("the password is the name", "choose another one")
    return _HASHER.hash(password)


def _version() -> str:
    return secrets.token_hex(8)
