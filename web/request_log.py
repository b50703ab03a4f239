"""Request log at level debug: method, path without its query, status and duration."""

import logging
import time

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["logging_requests"]

log = logging.getLogger(__name__)


def logging_requests(app: ASGIApp) -> ASGIApp:
    """Return `app` with a log line for each response.

    It wraps the whole application, because middleware does not see requests without a route. The
    query is left out: it may contain a password.
    """

    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not log.isEnabledFor(logging.DEBUG):
            await app(scope, receive, send)
            return
        started, method = time.perf_counter(), scope["method"]

        async def logging_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                took_ms = 1000 * (time.perf_counter() - started)
                log.debug(
                    "%s %s: %d after %.1f ms",
                    method, scope["path"], message["status"], took_ms,
                )  # fmt: skip
            await send(message)

        await app(scope, receive, logging_send)

    return logged
