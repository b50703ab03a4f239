"""Training log: the rows of `trainings` that a training writes about itself."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from storage.config.folders import Folders
from storage.inbox import segment

__all__ = ["TrainingLog", "request_training"]

PROGRESS_STEP = 0.1


class TrainingLog:
    """Records start, progress and end of one training.

    `training` is its id where the trainer began it; one of a command has an id of its own, which
    ends with `kind`.
    """

    def __init__(self, folders: Folders, training: str | None, kind: str = "command") -> None:
        self._folders = folders
        self.due = training is not None
        self.training = training or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{kind}"
        self._progress = 0.0
        self._started = self._ended = False

    def started(self, serving: str | None) -> None:
        """Record the start, and with which model the result will be compared."""
        self._started = True
        cause = {} if self.due else {"cause": "command", "reason": "started by the command"}
        self._write("started", serving=serving, progress=0.0, **cause)

    def progressed(self, share: float) -> None:
        """Record the share that is done, in steps of a tenth."""
        if share - self._progress >= PROGRESS_STEP and share < 1:
            self._progress = share
            self._write("progress", progress=round(share, 3))

    def ended(self, event: str, reason: str, **columns: Any) -> None:
        """Record the end: promoted, refused, learned or failed."""
        self._ended = True
        self._write(event, reason=reason, **columns)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Record an error as the end of a training that has started or was due.

        A signal ends a process without one: such a training is continued.
        """
        try:
            yield
        finally:
            error, counts = sys.exception(), self._started or self.due
            if isinstance(error, Exception) and counts and not self._ended:
                self.ended("failed", str(error) or type(error).__name__)

    def _write(self, event: str, **columns: Any) -> None:
        row = {"training": self.training, "ts": datetime.now(UTC), "event": event} | columns
        segment.write_row(self._folders, "trainings", "training", row)


def request_training(folders: Folders) -> str:
    """Request a training of the process `trainer`; return its id."""
    now = datetime.now(UTC)
    training = f"{now:%Y%m%d-%H%M%S}-person"
    row = {"training": training, "ts": now, "event": "requested", "cause": "person"}
    row["reason"] = "requested by the command"
    segment.write_row(folders, "trainings", "command", row)
    return training
