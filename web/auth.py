"""Authentication and authorization: API keys, loopback access and cross-site requests.

While the site listens on a loopback address, a request under a loopback host name may read, and may
do everything as long as no API key exists. Every other request needs a key. No header makes a
request more trusted: one of a proxy, or another host name, only makes it less trusted.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from storage.config.api_keys import ApiKeyError, ApiKeys, is_loopback
from storage.config.folders import Folders
from web.http_errors import HttpRejection

__all__ = ["ADMIN", "FEED", "OPEN", "Auth", "require_access"]

# `opt` of a route: the scope that it requires; the default is `read`, None requires no key.
FEED, ADMIN, OPEN = {"scope": "feed"}, {"scope": "admin"}, {"scope": None}

PROXIED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
CHALLENGE = {"WWW-Authenticate": 'Basic realm="hoursight", charset="UTF-8"'}

Connection = ASGIConnection[Any, Any, Any, Any]


class Auth:
    """Access rules of one site; `exposed` says that other machines can reach it."""

    def __init__(self, folders: Folders, exposed: bool) -> None:
        self._keyring = ApiKeys(folders)
        self._exposed = exposed

    def check(self, headers: Mapping[str, str], scope: str) -> None:
        """Raise HttpRejection unless a request with these headers has the scope."""
        try:
            self._check(headers, scope)
        except ApiKeyError as error:
            raise HttpRejection(503, error.message, error.remedy or "") from error

    def _check(self, headers: Mapping[str, str], scope: str) -> None:
        local = not self._exposed and _is_local(headers)
        if local and (scope == "read" or not self._keyring.known()):
            return
        token = _token(headers)
        if token is None:
            raise HttpRejection(401, self._key_required(headers, local), _remedy(scope), CHALLENGE)
        key = self._keyring.find(token)
        if key is None:
            raise HttpRejection(403, "the API key is unknown or was revoked", _remedy(scope))
        if not key.allows(scope):
            has = " and ".join(key.scopes)
            raise HttpRejection(
                403, f"the key {key.name!r} has the scope {has} only", _remedy(scope)
            )

    def _key_required(self, headers: Mapping[str, str], local: bool) -> str:
        if local or self._exposed or self._keyring.known():
            return "an API key is required"
        host = headers.get("host", "missing")
        return (
            f"without an API key this site serves localhost only; the request has the host {host}"
            + (" and came through a proxy" if any(name in headers for name in PROXIED) else "")
        )


async def require_access(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guard of every route: raise HttpRejection for a request without access."""
    if connection.scope.get("method") not in ("GET", "HEAD"):
        _reject_cross_site(connection.headers)
    scope = handler.opt.get("scope", "read")
    if scope is not None:
        connection.app.state.auth.check(connection.headers, scope)


def _reject_cross_site(headers: Mapping[str, str]) -> None:
    """Reject what a page of another site sends from the browser of one of our users."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    cross_site = origin is not None and urlsplit(origin).netloc != headers.get("host")
    if cross_site or site not in ("none", "same-origin"):
        raise HttpRejection(
            403, f"requests from pages of {origin or 'another site'} are not accepted",
            "send the request from a program, or from a page of this site",
        )  # fmt: skip


def _is_local(headers: Mapping[str, str]) -> bool:
    host = urlsplit(f"//{headers.get('host', '')}").hostname
    return bool(host) and is_loopback(str(host)) and not any(n in headers for n in PROXIED)


def _token(headers: Mapping[str, str]) -> str | None:
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
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _remedy(scope: str) -> str:
    return (
        f"make one with 'hoursight keys create --scope {scope} --name NAME' and send it as "
        "X-API-Key, as Authorization: Bearer, or as the password of basic auth"
    )
