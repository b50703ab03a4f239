"""Check of a request before it is routed: what no browser or agent sends is refused in words."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from storage.ipc.push_protocol import rejection_json
from web.access_trace import AccessTrace, address_of
from web.operations import PROBLEM
from web.security_headers import add_security_headers

__all__ = ["checking_requests", "host_name"]

MAX_PATH = 2048
MAX_HEADER_BYTES = 1 << 16
MAX_SHOWN = 60
# A registered name, an IPv4 or a bracketed IPv6 address, and a port.
HOST = re.compile(r"(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,253})|\[(?P<v6>[0-9A-Fa-f:.]+)\])"
                  r"(?::(?P<port>[0-9]{0,5}))?")  # fmt: skip
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Malformed(NamedTuple):
    """Why a request is refused, and the remedy."""

    status_code: int
    message: str
    remedy: str


def checking_requests(app: ASGIApp, trace: AccessTrace) -> ASGIApp:
    """Return `app` behind the check.

    It wraps the whole application: Litestar itself fails on such a request, even in the handler of
    that failure.
    """

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        malformed = _malformed(scope) if scope["type"] == ScopeType.HTTP else None
        if malformed is None:
            await app(scope, receive, send)
            return
        trace.refused("malformed", address_of(scope), malformed.message, datetime.now(UTC))
        await _answer(scope, send, malformed)

    return checked


def host_name(host: str) -> str | None:
    """Return the name or address in a Host header without its port; None if it is not valid."""
    match = HOST.fullmatch(host)
    if match is None or int(match["port"] or 0) > 65535:
        return None
    if match["v6"] is None:
        return match["name"]
    try:
        return str(IPv6Address(match["v6"]))
    except AddressValueError:
        return None


def _malformed(scope: HTTPScope) -> Malformed | None:
    return next(_problems(scope), None)


def _problems(scope: HTTPScope) -> Iterator[Malformed]:
    version, path = scope["http_version"], scope["path"]
    if version not in ("1.0", "1.1"):
        yield Malformed(400, f"HTTP {version} is not supported", "use HTTP/1.1")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
        yield Malformed(
            431, f"the headers are larger than {MAX_HEADER_BYTES >> 10} KiB", "send fewer of them"
        )
    for name, value in scope["headers"]:
        if name == b"host" and value and host_name(value.decode("latin-1")) is None:
            yield Malformed(
                400, f"the header Host is {_shown(value.decode('latin-1'))}, which is not valid",
                "send a name or an address, for example 'monitor.example:8080'",
            )  # fmt: skip
        if name == b"upgrade" and value.lower() == b"websocket":
            yield Malformed(
                400, "this site has no websockets",
                "read /live for the changes, as server-sent events",
            )  # fmt: skip
    if len(path) > MAX_PATH:
        yield Malformed(414, f"the path is longer than {MAX_PATH} characters", "shorten it")
    if CONTROL.search(path):
        yield Malformed(400, f"the path {_shown(path)} has a control character", "send it without")


def _shown(text: str) -> str:
    return ascii(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")


async def _answer(scope: Scope, send: Send, malformed: Malformed) -> None:
    body = rejection_json(*malformed)
    headers = [
        (b"content-type", PROBLEM.encode()), (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]  # fmt: skip
    start = {"type": "http.response.start", "status": malformed.status_code, "headers": headers}
    await add_security_headers(start, scope)  # type: ignore[arg-type]
    await send(start)  # type: ignore[arg-type]
    await send({"type": "http.response.body", "body": body, "more_body": False})
