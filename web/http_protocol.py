"""HTTP/1.1 of the site: uvicorn's, with our answer to what is not HTTP."""

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import h11

from web.access_trace import AccessTrace
from web.connections import LimitedProtocol

__all__ = ["SiteProtocol", "site_protocol"]

REMEDY = "send HTTP/1.1; for TLS connect to the proxy in front of this site"
MAX_REASON = 200


class SiteProtocol(LimitedProtocol):
    """A connection; what is not valid HTTP gets an answer with the headers of all answers."""

    def __init__(self, *arguments: Any, trace: AccessTrace, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._trace = trace

    def send_400_response(self, msg: str) -> None:
        """Answer what h11 has refused, unless the response has begun, and close."""
        error = sys.exc_info()[1]
        reason = str(error or msg).partition(": bytearray")[0]
        message = f"the request is not valid HTTP: {reason}"[:MAX_REASON]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            hint = getattr(error, "error_status_hint", 400)
            status_code = hint if 400 <= hint < 500 else 400
            self.answer_at_once(status_code, message, REMEDY, {})
        else:
            self.note_refusal("malformed", message)
        if self.cycle is not None:  # the application may be reading the body, or about to answer
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def note_refusal(self, reason: str, detail: str) -> None:
        """Count and log a refusal."""
        self._trace.refused(reason, self._address(), detail, datetime.now(UTC))

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
