"""Record an event of a training: `python -m functions.trainer.training_event DATA ID EVENT WHY`."""

import sys
from datetime import UTC, datetime

from storage.config.folders import Folders
from storage.inbox import segment

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Write one row of the table `trainings`."""
    data, training, event, reason = arguments
    row = {"training": training, "ts": datetime.now(UTC), "event": event, "reason": reason}
    segment.write_row(Folders.at(data).create(), "trainings", "trainer", row)


if __name__ == "__main__":
    main(sys.argv[1:])
