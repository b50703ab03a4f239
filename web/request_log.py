"""HTTP requests in the log at debug: method, path without its query, status and duration."""

import logging
import time

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["logging_requests"]

log = logging.getLogger(__name__)


def logging_requests(app: ASGIApp) -> ASGIApp:
    """`app` with a line for each answer that begins; a query string may hold a password.

    Around the whole application: its middleware does not see what has no route.
    """

    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not log.isEnabledFor(logging.DEBUG):
            await app(scope, receive, send)
            return
        began, method = time.perf_counter(), scope["method"]

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                took_ms = 1000 * (time.perf_counter() - began)
                log.debug(
                    "%s %s: %d after %.1f ms",
                    method, scope["path"], message["status"], took_ms,
                )  # fmt: skip
            await send(message)

        await app(scope, receive, watched)

    return logged
