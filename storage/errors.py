"""Errors that Hoursight itself raises: their common base, and those of a lake that is not readable.

    HoursightError
    ├── LakeMissing       the data folder has no lake yet
    ├── LakeUnreadable    the lake exists and cannot be attached
    ├── QueryFailed       the SQL could not be run
    └── …                 one class beside the code that raises it

Errors are told apart by their class and by `retryable`, never by their text.
"""

from pathlib import Path
from typing import NamedTuple

__all__ = ["Diagnosis", "HoursightError", "LakeMissing", "LakeUnreadable", "QueryFailed"]


class HoursightError(Exception):
    """Base of Hoursight's errors; `str()` gives the message and, where there is one, the remedy.

    `retryable` says that the same call may succeed later although nobody changes the call.
    """

    retryable: bool = False

    def __init__(
        self, message: str = "", remedy: str | None = None, retryable: bool | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message


class Diagnosis(NamedTuple):
    """Why something failed, as far as that is known, and what to do about it."""

    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}"


class LakeMissing(HoursightError):
    """The data folder has no lake yet."""

    retryable = True

    def __init__(self, data: Path) -> None:
        super().__init__(
            f"no lake in {data}",
            "start one with 'hoursight demo' or 'hoursight up', or name another folder with --data",
        )


class LakeUnreadable(HoursightError):
    """The lake exists and cannot be attached."""

    retryable = True


class QueryFailed(HoursightError):
    """The SQL could not be run; the message is DuckDB's own where nothing better is known."""
