"""Who sent a request: the identity that a key, a session or a trusted proxy shows."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from storage.config.api_keys import ApiKey, includes
from storage.config.users import ROLES, SCOPE_OF

__all__ = ["SESSION_COOKIE", "Identity", "token_of"]

SESSION_COOKIE = "hoursight_session"


@dataclass(frozen=True, slots=True)
class Identity:
    """A person or program: name, scopes, and `kind`, what shows it: key, user, oidc or proxy.

    `ambient` says that a browser sends the proof by itself, also for a page of another site.
    """

    kind: str
    name: str
    scopes: tuple[str, ...]
    key: ApiKey | None = None
    ambient: bool = False

    @classmethod
    def of_key(cls, key: ApiKey, ambient: bool = False) -> "Identity":
        """The identity of a key."""
        return cls("key", key.name, key.scopes, key, ambient)

    @classmethod
    def of_role(cls, kind: str, name: str, role: str) -> "Identity":
        """The identity of a person with a role."""
        return cls(kind, name, (SCOPE_OF[role],), ambient=True)

    @property
    def role(self) -> str:
        """The role of a person, or the highest one that the scopes amount to."""
        roles = (role for role in reversed(ROLES) if SCOPE_OF[role] in self.scopes)
        return next(roles, "feed")

    def allows(self, scope: str) -> bool:
        """Return True if the identity has `scope`, or one that includes it."""
        return includes(self.scopes, scope)


def token_of(headers: Mapping[str, str]) -> str | None:
    """Return the key in X-API-Key, or in Authorization as Bearer, Token or Basic; None without."""
    if key := headers.get("x-api-key"):
        return key.strip()
    kind, _, rest = headers.get("authorization", "").strip().partition(" ")
    if kind.lower() == "basic":
        return _password(rest)
    return rest.strip() if kind.lower() in ("bearer", "token") else None


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:  # not base64, not ASCII or not UTF-8
        return ""
