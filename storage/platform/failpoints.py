"""Failpoints: named steps at which a test can kill this process, to show that nothing is lost."""

import os
import signal
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["POINTS", "arm", "end_here", "failpoint"]

POINTS: tuple[str, ...] = (
    "segment written",
    "segment synced",
    "segment renamed",
    "segments validated",
    "rows inserted",
    "servers registered",
    "commit log written",
    "hashes recorded",
    "about to commit",
    "committed",
    "rejected files moved",
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
    "catalog snapshot written",
    "rebuild: files registered",
    "rebuild: old catalog put aside",
    "rebuild: catalog placed",
    "delivery: queued",
    "delivery: leased",
    "delivery: sent",
    "delivery: recorded",
)

Act: TypeAlias = Callable[[], None]


def end_here() -> None:
    """Kill this process with SIGKILL: the default action of an armed failpoint."""
    os.kill(os.getpid(), signal.SIGKILL)


class _Armed:
    def __init__(self) -> None:
        self.point, self.left, self.act = "", 0, end_here


_armed = _Armed()


def arm(point: str, time: int = 1, act: Act = end_here) -> None:
    """Run `act` when this process reaches the failpoint for the `time`-th time.

    Only one failpoint is armed at a time. Raises ValueError for an unknown name.
    """
    if point not in POINTS:
        raise ValueError(f"{point!r} is not a failpoint (expected one of {', '.join(POINTS)})")
    _armed.point, _armed.left, _armed.act = point, time, act


def failpoint(point: str) -> None:
    """Do nothing, unless a test has armed this failpoint."""
    if point == _armed.point:
        _armed.left -= 1
        if _armed.left == 0:
            _armed.act()
