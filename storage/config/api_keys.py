"""API keys: shown once, at their creation, and stored as hashes in a file of the data folder."""

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from storage.config.entries_file import EntriesFile, Wording
from storage.config.folders import Folders
from storage.errors import HoursightError

__all__ = [
    "SCOPES", "ApiKey", "ApiKeyError", "ApiKeys", "PublicWithoutKey", "create_key", "includes",
    "is_loopback", "require_key_if_public", "revoke_key",
]  # fmt: skip

SCOPES = ("feed", "read", "operate", "admin")
# What each scope lets its owner do. `mark` reports deployments and answers alerts.
RIGHTS = {
    "feed": ("feed", "mark"), "read": ("read",), "operate": ("operate", "read", "mark"),
    "admin": (*SCOPES, "mark"),
}  # fmt: skip
TOKEN = re.compile(r"hs_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def includes(scopes: Iterable[str], scope: str) -> bool:
    """Return True if one of `scopes` is or includes `scope`: `operate` includes `read`."""
    return any(scope in RIGHTS[each] for each in scopes)


class ApiKeyError(HoursightError):
    """A key cannot be created or revoked, or the file of keys cannot be read."""


class PublicWithoutKey(HoursightError):
    """The site would listen on a public address without requiring a key."""


class ApiKey(msgspec.Struct, frozen=True):
    """A key; of its secret only the hash is stored."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    secret_sha256: str

    def allows(self, scope: str) -> bool:
        """Return True if the key has `scope`, or one that includes it."""
        return includes(self.scopes, scope)


WORDING = Wording(ApiKeyError, "keys", "hoursight keys create")


class ApiKeys:
    """The keys of a data folder; their file is read again when it has changed."""

    def __init__(self, folders: Folders) -> None:
        self._file = EntriesFile(folders.keys, ApiKey, WORDING)

    def known(self) -> list[ApiKey]:
        """All keys, oldest first. Raises ApiKeyError when their file is damaged."""
        return list(self._file.entries())

    def required(self) -> bool:
        """Return True if a key has ever been created here. Raises ApiKeyError.

        The file stays when its last key is revoked: that must not open what was closed.
        """
        return self._file.seen()

    def find(self, token: str) -> ApiKey | None:
        """The key of a token; None if the token is not valid. Raises ApiKeyError."""
        match = TOKEN.fullmatch(token)
        key = self.by_id(match[1] if match else "")
        # A hash is always compared, so that the time taken does not reveal which ids exist.
        expected = key.secret_sha256 if key else _hash("")
        same = hmac.compare_digest(_hash(match[2] if match else "-"), expected)
        return key if same else None

    def by_id(self, ident: str) -> ApiKey | None:
        """The key with that id, unless it was revoked. Raises ApiKeyError."""
        return next((key for key in self._file.entries() if key.id == ident), None)


def create_key(folders: Folders, name: str, scopes: Sequence[str], now: datetime) -> str:
    """Create a key and return its token, which is not stored. Raises ApiKeyError."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise ApiKeyError(f"scope is {', '.join(unknown) or 'missing'} (expected {_or(SCOPES)})")
    if not NAME.fullmatch(name):
        raise ApiKeyError(
            f"name {name!r} is not valid (expected letters, digits, dots, dashes and underscores, "
            "for example 'telegraf')"
        )
    ident, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    with EntriesFile(folders.keys, ApiKey, WORDING).changing() as keys:
        if any(key.name == name for key in keys):
            raise ApiKeyError(
                f"a key named {name!r} exists already: revoke it, or choose another name"
            )
        keys.append(ApiKey(ident, name, tuple(dict.fromkeys(scopes)), now, _hash(secret)))
    return f"hs_{ident}_{secret}"


def revoke_key(folders: Folders, name_or_id: str) -> ApiKey:
    """Remove a key and return it. Raises ApiKeyError, which names the existing keys."""
    with EntriesFile(folders.keys, ApiKey, WORDING).changing() as keys:
        for key in keys:
            if name_or_id in (key.name, key.id):
                keys.remove(key)
                return key
        known = ", ".join(key.name for key in keys) or "none"
    raise ApiKeyError(f"no key is named {name_or_id!r} (existing keys: {known})")


def is_loopback(host: str) -> bool:
    """Return True if `host` can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def require_key_if_public(folders: Folders, host: str, others: bool = False) -> None:
    """Raise PublicWithoutKey if `host` is reachable by others, and nobody has to show who it is.

    `others` says that there are users, or that another system knows people.
    """
    if not is_loopback(host) and not others and not ApiKeys(folders).known():
        raise PublicWithoutKey(
            f"web.host is {host}, which other hosts can reach, and no API key exists: create one "
            "with 'hoursight keys create --scope admin --name me' or a user with 'hoursight users "
            "add', or set web.host to 127.0.0.1"
        )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
