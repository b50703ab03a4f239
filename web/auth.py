"""Who may do what: API keys, and what a browser on this machine must not be talked into.

While the site listens on a loopback address, whoever asks for it under a loopback name may read,
and may do everything as long as there is no key. Everybody else needs a key. No header makes a
request more trusted: one that tells of a proxy, or names another host, only makes it less so.
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

__all__ = ["ADMIN", "FEED", "OPEN", "Auth", "admitted"]

# What a route asks for with `opt`; without one it asks for the scope `read`.
FEED, ADMIN, OPEN = {"scope": "feed"}, {"scope": "admin"}, {"scope": None}

PROXIED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
CHALLENGE = {"WWW-Authenticate": 'Basic realm="hoursight", charset="UTF-8"'}

Connection = ASGIConnection[Any, Any, Any, Any]


class Auth:
    """The rule of one site; `exposed` says that others than this machine can reach it."""

    def __init__(self, folders: Folders, exposed: bool) -> None:
        self._keyring = ApiKeys(folders)
        self._exposed = exposed

    def check(self, headers: Mapping[str, str], scope: str) -> None:
        """Let the request through, or raise the Refusal that it is answered with."""
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
            raise HttpRejection(401, self._why(headers, local), _how(scope), CHALLENGE)
        key = self._keyring.find(token)
        if key is None:
            raise HttpRejection(403, "this API key is not known, or was revoked", _how(scope))
        if not key.allows(scope):
            has = " and ".join(key.scopes)
            raise HttpRejection(403, f"the key {key.name!r} has the scope {has} only", _how(scope))

    def _why(self, headers: Mapping[str, str], local: bool) -> str:
        if local or self._exposed or self._keyring.known():
            return "an API key is needed here"
        asked = headers.get("host", "no name")
        return (
            f"without an API key this site answers as localhost only, and was asked as {asked}"
            + (" through a proxy" if any(name in headers for name in PROXIED) else "")
        )


async def admitted(connection: Connection, handler: BaseRouteHandler) -> None:
    """The guard of every route."""
    if connection.scope.get("method") not in ("GET", "HEAD"):
        _refuse_foreign_pages(connection.headers)
    scope = handler.opt.get("scope", "read")
    if scope is not None:
        connection.app.state.access.check(connection.headers, scope)


def _refuse_foreign_pages(headers: Mapping[str, str]) -> None:
    """A page of somebody else's, open in the browser of one of ours, may change nothing."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    foreign = origin is not None and urlsplit(origin).netloc != headers.get("host")
    if foreign or site not in ("none", "same-origin"):
        raise HttpRejection(
            403, f"calls from pages of {origin or 'another site'} are not taken",
            "send it from a program, or from a page of this site",
        )  # fmt: skip


def _is_local(headers: Mapping[str, str]) -> bool:
    host = urlsplit(f"//{headers.get('host', '')}").hostname
    return bool(host) and is_loopback(str(host)) and not any(n in headers for n in PROXIED)


def _token(headers: Mapping[str, str]) -> str | None:
    """The key that was sent: X-API-Key, or Authorization as Bearer, Token or Basic."""
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


def _how(scope: str) -> str:
    return (
        f"make one with 'hoursight keys create --scope {scope} --name NAME' and send it as "
        "X-API-Key, as Authorization: Bearer, or as the password of basic auth"
    )
