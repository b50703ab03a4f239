"""API keys: shown once, at their creation, and stored as hashes in a file of the data folder."""

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TextIO

import msgspec

from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.ipc.decoding import InvalidJson, decode_json
from storage.platform.durability import fsync_directory
from storage.platform.private_files import create_private_folder
from storage.platform.process import exclusive_lock

__all__ = [
    "SCOPES", "ApiKey", "ApiKeyError", "ApiKeys", "PublicWithoutKey", "create_key", "includes", "is_loopback",
    "require_key_if_public", "revoke_key",
]  # fmt: skip

SCOPES = ("feed", "read", "operate", "admin")
# What each scope lets its owner do. `mark` reports deployments and answers alerts.
RIGHTS = {
    "feed": ("feed", "mark"), "read": ("read",), "operate": ("operate", "read", "mark"),
    "admin": (*SCOPES, "mark"),
}  # fmt: skip
TOKEN = re.compile(r"hs_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
LOCK_WITHIN_S, LOCK_POLL_S = 10.0, 0.02
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


class ApiKeys:
    """The keys of a data folder; their file is read again when it has changed."""

    def __init__(self, folders: Folders) -> None:
        self._path = folders.keys
        self._seen = False
        self._stamp: tuple[int, ...] | None = None
        self._keys: dict[str, ApiKey] = {}

    def known(self) -> list[ApiKey]:
        """All keys, oldest first. Raises ApiKeyError when their file is damaged."""
        return list(self._current().values())

    def required(self) -> bool:
        """Return True if a key has ever been created here. Raises ApiKeyError.

        The file stays when its last key is revoked: that must not open what was closed.
        """
        self._current()
        return self._seen

    def find(self, token: str) -> ApiKey | None:
        """The key of a token; None if the token is not valid. Raises ApiKeyError."""
        match = TOKEN.fullmatch(token)
        key = self._current().get(match[1] if match else "")
        # A hash is always compared, so that the time taken does not reveal which ids exist.
        expected = key.secret_sha256 if key else _hash("")
        same = hmac.compare_digest(_hash(match[2] if match else "-"), expected)
        return key if same else None

    def _current(self) -> dict[str, ApiKey]:
        try:
            stamp = self._stamp_now()
            if stamp != self._stamp:
                keys = _read(self._path.read_bytes(), self._path.name) if stamp else []
                self._keys, self._stamp = {key.id: key for key in keys}, stamp
        except OSError as error:
            raise ApiKeyError(
                f"{self._path.name} cannot be read ({error.strerror})",
                "give this user read permission, or restore the file",
            ) from error
        return self._keys

    def _stamp_now(self) -> tuple[int, ...] | None:
        """What changes with the file; None if there has been no file since the start."""
        try:
            stat = self._path.stat()
        except FileNotFoundError as error:
            if self._path.is_symlink():
                raise ApiKeyError(
                    f"{self._path.name} is a link to a file that does not exist",
                    "restore that file, or remove the link and create the keys again",
                ) from error
            if not self._seen:
                return None
            raise ApiKeyError(
                f"{self._path.name} is gone",
                "restore it, or create the keys again with 'hoursight keys create'; to go on "
                "without keys, restart the site",
            ) from error
        self._seen = True
        return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


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
    with _changing(folders) as keys:
        if any(key.name == name for key in keys):
            raise ApiKeyError(
                f"a key named {name!r} exists already: revoke it, or choose another name"
            )
        keys.append(ApiKey(ident, name, tuple(dict.fromkeys(scopes)), now, _hash(secret)))
    return f"hs_{ident}_{secret}"


def revoke_key(folders: Folders, name_or_id: str) -> ApiKey:
    """Remove a key and return it. Raises ApiKeyError, which names the existing keys."""
    with _changing(folders) as keys:
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


def require_key_if_public(folders: Folders, host: str) -> None:
    """Raise PublicWithoutKey if `host` is reachable by others and no API key exists."""
    if not is_loopback(host) and not ApiKeys(folders).known():
        raise PublicWithoutKey(
            f"web.host is {host}, which other hosts can reach, and no API key exists: create one "
            "with 'hoursight keys create --scope admin --name me', or set web.host to 127.0.0.1"
        )


@contextmanager
def _changing(folders: Folders) -> Iterator[list[ApiKey]]:
    """The keys, to be changed in place; written as a whole, under an exclusive lock."""
    create_private_folder(folders.data)
    with _lock(folders):
        keys = ApiKeys(folders).known()
        before = list(keys)
        yield keys
        if keys != before:
            _write(folders, keys)


def _lock(folders: Folders) -> TextIO:
    """The lock of a change, once it is free. Raises ApiKeyError after LOCK_WITHIN_S."""
    give_up = time.monotonic() + LOCK_WITHIN_S
    while (lock := exclusive_lock(folders.keys_lock)) is None:
        if time.monotonic() > give_up:
            raise ApiKeyError(
                f"{folders.keys_lock} is locked by another process",
                "end that process ('lslocks' names it), or remove the file",
            )
        time.sleep(LOCK_POLL_S)
    return lock


def _write(folders: Folders, keys: list[ApiKey]) -> None:
    partial = folders.keys.with_suffix(f".{uuid.uuid4().hex[:8]}.partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(keys)))
        file.flush()
        os.fsync(file.fileno())
    partial.rename(folders.keys)
    fsync_directory(folders.data)


def _read(text: bytes, name: str) -> list[ApiKey]:
    try:
        return decode_json(text, list[ApiKey])
    except InvalidJson as error:
        raise ApiKeyError(
            f"{name} is damaged ({error})",
            "remove it and create the keys again with 'hoursight keys create'",
        ) from error


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
