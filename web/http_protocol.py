"""HTTP/1.1 of the site: uvicorn's, with our answer to what is not HTTP."""

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from storage.ipc.push_protocol import rejection_json
from web.access_trace import AccessTrace
from web.security_headers import HEADERS

__all__ = ["SiteProtocol", "site_protocol"]

REMEDY = "send HTTP/1.1; for TLS connect to the proxy in front of this site"
MAX_REASON = 200


class SiteProtocol(H11Protocol):
    """A connection; what is not valid HTTP gets an answer with the headers of all answers."""

    def __init__(self, *arguments: Any, trace: AccessTrace, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._trace = trace

    def send_400_response(self, msg: str) -> None:
        """Answer what h11 has refused, unless the response has begun, and close."""
        error = sys.exc_info()[1]
        reason = str(error or msg).partition(": bytearray")[0]
        message = f"the request is not valid HTTP: {reason}"[:MAX_REASON]
        self._trace.refused("malformed", self._address(), message, datetime.now(UTC))
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send_refusal(getattr(error, "error_status_hint", 400), message)
        if self.cycle is not None:  # the application may be reading the body, or about to answer
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _send_refusal(self, status_code: int, message: str) -> None:
        status_code = status_code if 400 <= status_code < 500 else 400
        body = rejection_json(status_code, message, REMEDY)
        headers = {
            "Content-Type": "application/json", "Content-Length": str(len(body)),
            "Connection": "close", "Cache-Control": "no-store", **HEADERS,
        }  # fmt: skip
        for event in (
            h11.Response(
                status_code=status_code, headers=list(headers.items()),
                reason=STATUS_PHRASES[status_code],
            ),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):  # fmt: skip
            self.transport.write(self.conn.send(event) or b"")

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: an upgrade is refused or, as HTTP has it, ignored."""

    def _address(self) -> str:
        return self.client[0] if self.client else "an unknown address"


def site_protocol(trace: AccessTrace) -> Callable[..., SiteProtocol]:
    """Return what makes the protocol of each connection; `trace` logs instead of uvicorn."""
    logging.getLogger("uvicorn.error").addFilter(_is_not_ours)
    return partial(SiteProtocol, trace=trace)


def _is_not_ours(record: logging.LogRecord) -> bool:
    return record.msg != "Invalid HTTP request received."
