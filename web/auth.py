"""Authentication and authorization: API keys, sessions, a trusted proxy, and cross-site requests.

While the site listens on a loopback address and nobody needs to log in, because there is no API
key, no user and no other system that knows people, a request of this machine may do everything.
After that everything needs a key or a login; `web.read_without_key` excepts reading from this
machine. No header makes a request more trusted, but those of a proxy that the settings name: one of
another proxy, another host name or HTTP/1.0, which only proxies speak, makes it less trusted.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from storage.config.api_keys import ApiKeyError, ApiKeys, includes, is_loopback
from storage.config.folders import Folders
from storage.config.users import ROLES, SCOPE_OF, UserError, Users
from storage.config.web_settings import WebSettings
from storage.model.periods import parse_period
from web.access_trace import AccessTrace, address_of, peer_of
from web.http_errors import HttpRejection
from web.identity import SESSION_COOKIE, Identity, token_of
from web.request_check import host_name
from web.sessions import Session, Sessions

__all__ = ["ADMIN", "FEED", "MARK", "OPEN", "OPERATE", "AccessRefused", "Auth", "require_access"]

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
MAX_ORIGIN, MAX_NAME = 100, 64
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
        self,
        folders: Folders,
        trace: AccessTrace,
        exposed: bool,
        read_without_key: bool,
        web: WebSettings | None = None,
    ) -> None:
        self.web = web or WebSettings()
        idle, longest = (
            parse_period(self.web.sessions.idle),
            parse_period(self.web.sessions.longest),
        )
        self.keys, self.users = ApiKeys(folders), Users(folders)
        self.sessions = Sessions(folders, idle, longest)
        self._trace = trace
        self._exposed = exposed
        self._read_without_key = read_without_key

    def check(self, connection: Connection, scope: str) -> None:
        """Raise AccessRefused unless the request has the scope; leave a trace of its key."""
        identity = self._access(connection, scope)
        connection.scope["state"]["hoursight_identity"] = identity
        if identity is not None and identity.key is not None:
            self._trace.used(identity.key, address_of(connection.scope), datetime.now(UTC))

    def grants(self, connection: Connection, scope: str) -> bool:
        """Return True if the request has the scope, now."""
        try:
            self._access(connection, scope)
        except AccessRefused:
            return False
        return True

    def visitor(self, connection: Connection) -> Identity | None:
        """Who sent the request; None if it does not say, or need not."""
        try:
            return self._identify(connection)
        except (ApiKeyError, UserError):
            return None

    def offers_login(self) -> bool:
        """Return True if somebody can log in here."""
        try:
            return self.keys.required() or self.users.required() or bool(self.web.oidc.issuer)
        except (ApiKeyError, UserError):
            return False

    def login_required(self) -> bool:
        """Return True if there has been a key or a user, or another system knows people.

        Raises ApiKeyError and UserError.
        """
        return self.web.knows_people or self.keys.required() or self.users.required()

    def address(self, connection: Connection) -> str:
        """The address of the sender; behind a trusted proxy the one that the proxy states."""
        peer = connection.client.host if connection.client else ""
        stated = connection.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return peer_of(stated if stated and self.web.proxy.trusts(peer) else peer)

    def _access(self, connection: Connection, scope: str) -> Identity | None:
        """Return who sent the request, or None if it needs no key and has none."""
        local = not self._exposed and _is_local(connection)
        if local and scope == "read" and self._read_without_key:
            return self.visitor(connection)
        try:
            if local and not self.login_required():
                return None
            return self._permitted(connection, scope)
        except (ApiKeyError, UserError) as error:
            raise AccessRefused("keys_unreadable", 503, error.message, error.remedy or "") from None

    def _permitted(self, connection: Connection, scope: str) -> Identity:
        identity = self._identify(connection)
        if identity is None and token_of(connection.headers) is None:
            message = self._login_needed(connection)
            raise AccessRefused("no_key", 401, message, _remedy(scope), **CHALLENGE)
        if identity is None:
            raise AccessRefused(
                "unknown_key", 403, "the API key is unknown or was revoked", _remedy(scope)
            )
        if identity.ambient:
            require_origin(connection)
        if not identity.allows(scope):
            raise _lacking(identity, scope)
        return identity

    def _identify(self, connection: Connection) -> Identity | None:
        """Return who sent the request, by its key, its proxy or its session."""
        token = token_of(connection.headers)
        key = None if token is None else self.keys.find(token)
        if key is not None:
            return Identity.of_key(key)
        return self._by_proxy(connection) or self._by_session(connection)

    def _by_proxy(self, connection: Connection) -> Identity | None:
        proxy = self.web.proxy
        if connection.client is None or not proxy.trusts(connection.client.host):
            return None
        names = connection.headers.getall(proxy.user_header, [])
        if len(names) != 1 or not names[0].strip():  # one that a visitor added makes two
            return None
        groups = connection.headers.get(proxy.role_header, "").split(",")
        role = proxy.role_of([group.strip() for group in groups])
        return Identity.of_role("proxy", names[0].strip()[:MAX_NAME], role) if role else None

    def _by_session(self, connection: Connection) -> Identity | None:
        token = connection.cookies.get(SESSION_COOKIE)
        session = self.sessions.find(token, datetime.now(UTC)) if token else None
        return None if session is None else self._of_session(session)

    def _of_session(self, session: Session) -> Identity | None:
        """Return whose session it is, with the rights of now; None if the account is gone."""
        if session.kind == "key":
            key = self.keys.by_id(session.subject)
            return None if key is None else Identity.of_key(key, ambient=True)
        if session.kind == "user":
            user = self.users.find(session.name)
            valid = user is not None and user.version == session.subject
            return Identity.of_role("user", session.name, user.role) if user and valid else None
        known = session.subject == self.web.oidc.issuer
        return Identity.of_role("oidc", session.name, session.role) if known else None

    def _login_needed(self, connection: Connection) -> str:
        if self.users.required() or self.web.oidc.issuer:
            return "a login or an API key is required"
        if self._exposed or self.login_required():
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


def require_origin(connection: Connection) -> None:
    """Reject a change for which a browser's own proof is used, unless it says whose page sent it.

    What it says has been compared already. Every browser says it, so that no token is needed.
    """
    stated = connection.headers.keys() & {"origin", "sec-fetch-site"}
    if connection.scope.get("method") not in ("GET", "HEAD") and not stated:
        raise AccessRefused(
            "other_site", 403, "the request does not say which page sent it",
            "send an API key as X-API-Key, or the header Origin as browsers do",
        )  # fmt: skip


def _lacking(identity: Identity, scope: str) -> AccessRefused:
    if identity.kind == "key":
        has = " and ".join(identity.scopes)
        message = f"the key {identity.name!r} has the scope {has} only"
        return AccessRefused("scope", 403, message, _remedy(scope))
    needed = next(role for role in ROLES if includes([SCOPE_OF[role]], scope))
    return AccessRefused(
        "scope", 403, f"{identity.name} has the role {identity.role} only",
        f"log in as somebody with the role {needed}",
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


def _remedy(scope: str) -> str:
    needed = "operate" if scope == "mark" else scope
    return (
        f"make one with 'hoursight keys create --scope {needed} --name NAME' and send it as "
        "X-API-Key, as Authorization: Bearer, or as the password of basic auth"
    )
