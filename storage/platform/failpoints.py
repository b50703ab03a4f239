"""Named steps at which a test may end this process or something else, to show nothing is lost."""

import os
import signal
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["POINTS", "arm", "end_here", "failpoint"]

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
    "backup: inbox linked",
    "backup: catalog copied",
    "backup: lake linked",
    "backup: archive written",
    "backup: archive named",
)

Act: TypeAlias = Callable[[], None]


def end_here() -> None:
    """What happens at an armed point unless something else is told: SIGKILL to ourselves."""
    os.kill(os.getpid(), signal.SIGKILL)


class _Armed:
    def __init__(self) -> None:
        self.point, self.left, self.act = "", 0, end_here


_armed = _Armed()


def arm(point: str, time: int = 1, act: Act = end_here) -> None:
    """Let `act` happen when this process reaches the point for the `time`-th time."""
    if point not in POINTS:
        raise ValueError(f"no crash point {point!r}; there are {', '.join(POINTS)}")
    _armed.point, _armed.left, _armed.act = point, time, act


def failpoint(point: str) -> None:
    """Go on, unless a test has armed this point."""
    if point == _armed.point:
        _armed.left -= 1
        if _armed.left == 0:
            _armed.act()
