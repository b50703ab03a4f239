"""Named steps at which a test may kill this process, to show that nothing is lost there."""

import os
import signal

__all__ = ["CRASH_AT", "POINTS", "reach"]

# "committed:3" kills the process when it reaches the point `committed` for the third time.
CRASH_AT = "HOURSIGHT_CRASH_AT"

POINTS: tuple[str, ...] = (
    "segment written",
    "segment synced",
    "segment renamed",
    "segments judged",
    "rows inserted",
    "servers registered",
    "ledger written",
    "about to commit",
    "committed",
    "rejected put aside",
    "segment removed",
    "announced",
    "files cleaned up",
    "snapshots expired",
    "files merged",
    "merge committed",
)

_POINT, _, _COUNT = os.environ.get(CRASH_AT, "").partition(":")
_left = int(_COUNT or 1)


def reach(point: str) -> None:
    """Go on, unless the environment says that the process ends here."""
    global _left
    if point != _POINT:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
