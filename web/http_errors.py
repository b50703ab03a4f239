"""Answers that are no: what is wrong, and what to do about it."""

from collections.abc import Mapping

from litestar.exceptions import HTTPException

__all__ = ["HttpRejection"]


class HttpRejection(HTTPException):
    """A request that is not taken; `remedy` says what the sender can do."""

    def __init__(
        self,
        status_code: int,
        message: str,
        remedy: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status_code=status_code, detail=message, headers=dict(headers or {}))
        self.remedy = remedy
