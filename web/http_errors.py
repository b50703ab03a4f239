"""HTTP errors with a status code, a message and a remedy."""

from collections.abc import Mapping

from litestar.exceptions import HTTPException

from storage.errors import HoursightError

__all__ = ["CLOSE", "RETRY_AFTER", "HttpRejection", "Overloaded"]

# Of a 503: senders that read it wait so long.
RETRY_AFTER = {"Retry-After": "5"}
# Requests behind this one are left unread. Not while a body arrives: its sender would see a reset.
CLOSE = {"Connection": "close"}


class HttpRejection(HoursightError, HTTPException):
    """A rejected request; `remedy` says what the sender can do."""

    remedy: str

    def __init__(
        self,
        status_code: int,
        message: str,
        remedy: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, remedy)
        self.status_code, self.headers = status_code, dict(headers or {})


class Overloaded(HttpRejection):
    """Too many requests at once (503); the sender may repeat this one."""

    def __init__(self, message: str, remedy: str = "send it again in some seconds") -> None:
        super().__init__(503, message, remedy, RETRY_AFTER)
