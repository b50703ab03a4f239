"""The path under which a reverse proxy serves the site, such as /hoursight.

The application knows its paths without it. It is taken off requests, whether the proxy has left it
or not, and put before the local paths in the headers of responses: redirects and cookies. Links in
pages have it by `url()` of the templates.
"""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["prefix_of", "under_prefix"]

# In the scope; `root_path` would do, but Litestar cuts it out of paths in which it occurs again.
_KEY = "hoursight_prefix"


def under_prefix(app: ASGIApp, prefix: str) -> ASGIApp:
    """Return `app` as it is served under `prefix`; empty: as it is."""
    if not prefix:
        return app

    async def prefixed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        scope[_KEY] = prefix  # type: ignore[literal-required]
        _strip(scope, prefix)

        async def prefixing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (name, _outside(name, value, prefix.encode()))
                    for name, value in message["headers"]
                ]
            await send(message)

        await app(scope, receive, prefixing)

    return prefixed


def prefix_of(scope: Scope) -> str:
    """Return the prefix under which a request was made; empty without one."""
    return str(scope.get(_KEY, ""))


def _strip(scope: Scope, prefix: str) -> None:
    path = scope["path"]
    if path == prefix or path.startswith(f"{prefix}/"):
        scope["path"] = path[len(prefix) :] or "/"
        scope["raw_path"] = scope["raw_path"][len(prefix) :] or b"/"


def _outside(name: bytes, value: bytes, prefix: bytes) -> bytes:
    """Return the value of a header with the prefix before paths of this site."""
    if name.lower() == b"location" and value.startswith(b"/") and not value.startswith(b"//"):
        return prefix + value
    if name.lower() == b"set-cookie":
        return _with_path(value, prefix)
    return value


def _with_path(cookie: bytes, prefix: bytes) -> bytes:
    parts = cookie.split(b"; ")
    return b"; ".join(b"Path=" + prefix if part.lower() == b"path=/" else part for part in parts)
