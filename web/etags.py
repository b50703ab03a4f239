"""ETags: a program that has the data already gets 304 without a body."""

import hashlib
from typing import Any

from litestar import Response
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["answering_unchanged", "tagged"]

# Of a response that is not sent.
_OF_A_BODY = ("content-length", "content-encoding", "content-type", "content-disposition")


async def tagged(response: Response[Any]) -> Response[Any]:
    """Give data that is whole an ETag: a weak one, because it may be compressed afterwards."""
    content = response.content if isinstance(response, Response) else None  # it may be a stream
    if isinstance(content, bytes) and content and (response.status_code or 200) == 200:
        digest = hashlib.sha256(content).hexdigest()[:32]
        response.headers.setdefault("ETag", f'W/"{digest}"')
    return response


def answering_unchanged(app: ASGIApp) -> ASGIApp:
    """Return `app` as middleware that answers 304 where the sender has what would be sent."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        known = Headers.from_scope(scope).get("if-none-match")
        if known is None or scope.get("method") not in ("GET", "HEAD"):
            await app(scope, receive, send)
            return
        unchanged = False

        async def comparing(message: Message) -> None:
            nonlocal unchanged
            if message["type"] == "http.response.start" and message["status"] == 200:
                headers = MutableScopeHeaders.from_message(message)
                unchanged = _is_known(headers.get("etag"), known)
                if unchanged:
                    message["status"] = 304
                    for name in _OF_A_BODY:
                        headers.pop(name, None)
            if message["type"] == "http.response.body" and unchanged:
                if not message["more_body"]:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            await send(message)

        await app(scope, receive, comparing)

    return answered


def _is_known(etag: str | None, known: str) -> bool:
    """Compare as If-None-Match does: weakly, with any tag of a list, or `*`."""
    if etag is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags
