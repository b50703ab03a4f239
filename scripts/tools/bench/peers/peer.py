"""Interface of the peers, and the processes of those that are servers."""

import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from scripts.tools.bench.peers.tsbs_workload import FIELDS, Span, TsbsQuery
from storage.errors import HoursightError

__all__ = ["Peer", "PeerMissing", "PeerServer", "folder_bytes", "readings_of", "wait_until"]

START_S = 30.0


class PeerMissing(HoursightError):
    """A peer is not installed; the message says how to install it."""


class Peer(Protocol):
    """A database that is loaded once and queried often. Its constructor raises PeerMissing."""

    name: str
    version: str

    def __init__(self, folder: Path) -> None: ...

    def load(self, rows: pa.Table) -> None:
        """Load all rows, and return when they are as durable as the peer makes them."""

    def compact(self) -> None:
        """Do the maintenance that a running system would do later."""

    def stored_bytes(self) -> int:
        """Return the size of the rows on disk."""

    def query(self, query: TsbsQuery, span: Span) -> list[float]:
        """Return the values of the result, in any order."""

    def close(self) -> None:
        """Stop it."""


class PeerServer:
    """A peer that is a process of its own."""

    def __init__(self, command: list[str | Path], log: Path, user: str | None = None) -> None:
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out, user=user, cwd="/")

    def wait(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready. Raises RuntimeError with the end of its log when it has ended."""
        wait_until(lambda: ready() or self._process.poll() is not None, self._log_tail)
        if self._process.poll() is not None:
            raise RuntimeError(self._log_tail())

    def close(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait()

    def _log_tail(self) -> str:
        return self._log.read_text()[-2000:]


def wait_until(condition: Callable[[], bool], detail: Callable[[], str] = str) -> None:
    """Poll until the condition holds. Raises RuntimeError after half a minute."""
    give_up = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > give_up:
            raise RuntimeError(f"not within {START_S:g} s: {detail()}")
        time.sleep(0.05)


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def readings_of(columns: Iterable[str], rows: Iterable[tuple[object, ...]]) -> list[float]:
    """Return the values of FIELDS in the rows of an SQL result."""
    wanted = [i for i, name in enumerate(columns) if name in FIELDS]
    return [float(row[i]) for row in rows for i in wanted]  # type: ignore[arg-type]
