"""Authentication and authorization: API keys, loopback access and cross-site requests.

While the site listens on a loopback address and no API key exists, a request of this machine may do
everything. Once there is a key everything needs one; `web.read_without_key` excepts reading from
this machine. No header makes a request more trusted: one of a proxy, another host name or HTTP/1.0,
which only proxies speak, makes it less trusted.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from storage.config.api_keys import ApiKey, ApiKeyError, ApiKeys, is_loopback
from storage.config.folders import Folders
from web.access_trace import AccessTrace, address_of
from web.http_errors import HttpRejection
from web.request_check import host_name

__all__ = ["ADMIN", "FEED", "MARK", "OPEN", "OPERATE", "Auth", "require_access"]

# `opt` of a route: the scope that it requires; the default is `read`, None requires no key.
FEED, OPERATE, ADMIN = {"scope": "feed"}, {"scope": "operate"}, {"scope": "admin"}
MARK, OPEN = {"scope": "mark"}, {"scope": None}

# Headers that proxies, load balancers and tunnels add, and no agent or browser sends.
PROXY_HEADERS = frozenset({
    "forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "client-ip",
    "true-client-ip", "fastly-client-ip", "remote-user", "x-remote-user", "x-scheme",
    "x-url-scheme", "x-host", "x-arr-ssl", "x-arr-log-id", "x-varnish", "cdn-loop",
    "x-cloud-trace-context", "x-proxyuser-ip", "x-ssl-client-verify",
})  # fmt: skip
PROXY_PREFIXES = (
    "cf-", "proxy-", "tailscale-", "x-amzn-", "x-appengine-", "x-appgw-", "x-auth-request-",
    "x-azure-", "x-envoy-", "x-forward", "x-goog-", "x-original-", "x-proxy-", "x-rewrite-",
)  # fmt: skip
MAX_ORIGIN = 100
CHALLENGE = {"WWW-Authenticate": 'Basic realm="hoursight", charset="UTF-8"'}

Connection = ASGIConnection[Any, Any, Any, Any]


class AccessRefused(HttpRejection):
    """A request without access; `reason` is the label under which it is counted."""

    def __init__(
        self, reason: str, status_code: int, message: str, remedy: str, **headers: str
    ) -> None:
        super().__init__(status_code, message, remedy, headers)
        self.reason = reason


class Auth:
    """Access rules of one site; `exposed` says that other machines can reach it."""

    def __init__(
        self, folders: Folders, trace: AccessTrace, exposed: bool, read_without_key: bool
    ) -> None:
        self._keyring = ApiKeys(folders)
        self._trace = trace
        self._exposed = exposed
        self._read_without_key = read_without_key

    def check(self, connection: Connection, scope: str) -> None:
        """Raise AccessRefused unless the request has the scope; leave a trace of its key."""
        key = self._access(connection, scope)
        if key is not None:
            connection.scope["state"]["hoursight_actor"] = key.name
            self._trace.used(key, address_of(connection.scope), datetime.now(UTC))

    def grants(self, connection: Connection, scope: str) -> bool:
        """Return True if the request has the scope, now."""
        try:
            self._access(connection, scope)
        except AccessRefused:
            return False
        return True

    def _access(self, connection: Connection, scope: str) -> ApiKey | None:
        """Return the key that the request needs and has, or None if it needs none."""
        local = not self._exposed and _is_local(connection)
        if local and scope == "read" and self._read_without_key:
            return None
        try:
            if local and not self._keyring.required():
                return None
            return self._key(connection, scope)
        except ApiKeyError as error:
            raise AccessRefused("keys_unreadable", 503, error.message, error.remedy or "") from None

    def _key(self, connection: Connection, scope: str) -> ApiKey:
        token = _token(connection.headers)
        if token is None:
            message = self._key_required(connection)
            raise AccessRefused("no_key", 401, message, _remedy(scope), **CHALLENGE)
        key = self._keyring.find(token)
        if key is None:
            raise AccessRefused(
                "unknown_key", 403, "the API key is unknown or was revoked", _remedy(scope)
            )
        if not key.allows(scope):
            has = " and ".join(key.scopes)
            raise AccessRefused(
                "scope", 403, f"the key {key.name!r} has the scope {has} only", _remedy(scope)
            )
        return key

    def _key_required(self, connection: Connection) -> str:
        if self._exposed or self._keyring.required():
            return "an API key is required"
        host = connection.headers.get("host", "missing")
        return (
            f"without an API key this site serves localhost only; the request has the host {host}"
            + (" and came through a proxy" if _is_proxied(connection) else "")
        )


async def require_access(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guard of every route: raise AccessRefused for a request without access."""
    try:
        if connection.scope.get("method") not in ("GET", "HEAD"):
            _reject_cross_site(connection.headers)
        scope = handler.opt.get("scope", "read")
        if scope is not None:
            connection.app.state.auth.check(connection, scope)
    except AccessRefused as error:
        connection.app.state.trace.refused(
            error.reason, address_of(connection.scope),
            f"{connection.scope.get('method')} {connection.scope['path']}: {error.message}",
            datetime.now(UTC),
        )  # fmt: skip
        raise


def _reject_cross_site(headers: Mapping[str, str]) -> None:
    """Reject what a page of another site sends from the browser of one of our users."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    cross_site = origin is not None and _network_location(origin) != headers.get("host")
    if cross_site or site not in ("none", "same-origin"):
        sender = (origin or "another site")[:MAX_ORIGIN]
        raise AccessRefused(
            "other_site", 403, f"requests from pages of {sender} are not accepted",
            "send the request from a program, or from a page of this site",
        )  # fmt: skip


def _network_location(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # such as http://[
        return None


def _is_local(connection: Connection) -> bool:
    name = host_name(connection.headers.get("host", ""))
    return name is not None and is_loopback(name) and not _is_proxied(connection)


def _is_proxied(connection: Connection) -> bool:
    """Return True if a header says so, or for HTTP/1.0, all that a plain `proxy_pass` shows."""
    names = {name.replace("_", "-") for name in connection.headers}
    return connection.scope.get("http_version") != "1.1" or any(
        name in PROXY_HEADERS or name.startswith(PROXY_PREFIXES) for name in names
    )


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
    except ValueError:  # not base64, not ASCII or not UTF-8
        return ""


def _remedy(scope: str) -> str:
    needed = "operate" if scope == "mark" else scope
    return (
        f"make one with 'hoursight keys create --scope {needed} --name NAME' and send it as "
        "X-API-Key, as Authorization: Bearer, or as the password of basic auth"
    )
