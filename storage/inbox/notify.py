"""Commit notifications: one file for each table, touched by the writer after each commit."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from watchfiles import awatch, watch

from storage.config.folders import Folders

__all__ = [
    "commit_times",
    "last_commit",
    "notify",
    "pending_segments",
    "table_changes",
    "watch_table_changes",
]

# Commits within this time are reported together.
DEBOUNCE_MS = 50
TOLERANCE_NS = 5_000_000_000  # a commit may come after `now` was read


def notify(folders: Folders, tables: Iterable[str]) -> None:
    """Report that these tables have new rows."""
    for name in tables:
        (folders.announce / name).touch()


async def table_changes(data: Path, stop: asyncio.Event) -> AsyncGenerator[frozenset[str], None]:
    """The names of the tables that changed, one set after each commit, until `stop` is set."""
    folder = Folders.at(data).create().announce
    async for changes in awatch(folder, stop_event=stop, debounce=DEBOUNCE_MS, step=DEBOUNCE_MS):
        yield _names(changes)


def watch_table_changes(
    data: Path, stop: threading.Event, timeout_ms: int
) -> Iterator[frozenset[str]]:
    """The same for a thread; yields an empty set after each `timeout_ms` without a commit."""
    folder = Folders.at(data).create().announce
    for changes in watch(
        folder, stop_event=stop, debounce=DEBOUNCE_MS, step=DEBOUNCE_MS,
        rust_timeout=timeout_ms, yield_on_timeout=True, raise_interrupt=False,
    ):  # fmt: skip
        yield _names(changes)


def commit_times(data: Path) -> dict[str, int]:
    """The last change of each table [ns since 1970]; tables never changed are absent."""
    folder = Folders.at(data).announce
    return {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} if folder.exists() else {}


def last_commit(data: Path, now: datetime) -> datetime | None:
    """The time of the last commit; None before the first.

    A time ahead of `now`, when this host's clock was, is not one of the present.
    """
    latest_ns = int(now.timestamp() * 1e9) + TOLERANCE_NS
    times_ns = [at_ns for at_ns in commit_times(data).values() if at_ns <= latest_ns]
    return min(datetime.fromtimestamp(max(times_ns) / 1e9, UTC), now) if times_ns else None


def pending_segments(data: Path) -> int:
    """Number of segments in the inbox."""
    return sum(1 for _ in Folders.at(data).inbox.glob("*.parquet"))


def _names(changes: Iterable[tuple[object, str]]) -> frozenset[str]:
    return frozenset(Path(path).name for _, path in changes)
