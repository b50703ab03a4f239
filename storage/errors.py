"""Base of all errors that Hoursight raises, and the errors of a lake that cannot be read.

    HoursightError
    ├── LakeMissing       the data folder has no lake yet
    ├── LakeUnreadable    the lake exists and cannot be attached
    ├── QueryFailed       the SQL could not be run
    └── …                 one class beside the code that raises it

Code distinguishes errors by class and `retryable`, never by their text.
"""

from pathlib import Path
from typing import NamedTuple

__all__ = ["Diagnosis", "HoursightError", "LakeMissing", "LakeUnreadable", "QueryFailed"]


class HoursightError(Exception):
    """Base of Hoursight's errors; `str()` is the message, followed by the remedy if there is one.

    `retryable` means that the same call may succeed later.
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
    """The known cause of a failure, and its remedy."""

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
    """A query failed; the message is DuckDB's own unless the cause is known."""
