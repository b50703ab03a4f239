"""Heartbeats: each long-running process touches a file of its own while its main loop goes round.

They tell a process that is stopped, or whose loop waits for ever, from one that has nothing to do.
"""

import time
from pathlib import Path

__all__ = ["HEARTBEAT_EVERY_S", "Heartbeat", "heartbeats"]

HEARTBEAT_EVERY_S = 1.0


class Heartbeat:
    """The heartbeat of the process `name`, a file in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        self._next = 0.0

    def beat(self) -> None:
        """Touch the file, once a second at most; a disk that fails is told elsewhere."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + HEARTBEAT_EVERY_S
        try:
            self._path.parent.mkdir(exist_ok=True)
            self._path.touch()
        except OSError:
            return


def heartbeats(folder: Path) -> dict[str, float]:
    """The time of the last heartbeat [s since 1970] of each process; empty without the folder."""
    try:
        return {path.name: path.stat().st_mtime for path in folder.iterdir()}
    except OSError:
        return {}
