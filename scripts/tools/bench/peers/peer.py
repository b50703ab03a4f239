"""What every peer can do here, and how its server is started and stopped."""

import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from scripts.tools.bench.peers.tsbs_workload import FIELDS, Span, TsbsQuery
from storage.errors import HoursightError

__all__ = ["Absent", "Peer", "PeerServer", "folder_bytes", "numbers_of", "wait_until"]

START_S = 30.0


class Absent(HoursightError):
    """A peer that is not on this machine; the message says how to get it."""


class Peer(Protocol):
    """A store that is loaded once and asked often. Making one raises Absent."""

    name: str
    version: str

    def __init__(self, folder: Path) -> None: ...

    def load(self, rows: pa.Table) -> None:
        """Take all rows, and return when they are durable by the peer's own standard."""

    def settle(self) -> None:
        """Do the maintenance that would come by itself later."""

    def bytes_held(self) -> int:
        """What they take on the disk."""

    def ask(self, question: TsbsQuery, span: Span) -> list[float]:
        """The values of the answer in any order."""

    def close(self) -> None:
        """Stop it."""


class PeerServer:
    """A peer that is a process of its own."""

    def __init__(self, command: list[str | Path], log: Path, user: str | None = None) -> None:
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out, user=user, cwd="/")

    def wait(self, ready: Callable[[], bool]) -> None:
        """Until it answers; RuntimeError with its last words when it does not."""
        wait_until(lambda: ready() or self._process.poll() is not None, self._words)
        if self._process.poll() is not None:
            raise RuntimeError(self._words())

    def close(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait()

    def _words(self) -> str:
        return self._log.read_text()[-2000:]


def wait_until(condition: Callable[[], bool], trouble: Callable[[], str] = str) -> None:
    """Poll until it holds; RuntimeError after half a minute."""
    give_up = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > give_up:
            raise RuntimeError(f"not within {START_S:g} s: {trouble()}")
        time.sleep(0.05)


def folder_bytes(folder: Path) -> int:
    """The sizes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def numbers_of(columns: Iterable[str], rows: Iterable[tuple[object, ...]]) -> list[float]:
    """The readings among the columns of an SQL answer."""
    wanted = [i for i, name in enumerate(columns) if name in FIELDS]
    return [float(row[i]) for row in rows for i in wanted]  # type: ignore[arg-type]
