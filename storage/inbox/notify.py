"""How the rest of the system learns of a commit: one file a table, touched by the writer."""

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

# Commits that follow each other this closely are told as one.
DEBOUNCE_MS = 50


def notify(folders: Folders, tables: Iterable[str]) -> None:
    """Tell that these tables have new rows."""
    for name in tables:
        (folders.announce / name).touch()


async def table_changes(data: Path, stop: asyncio.Event) -> AsyncGenerator[frozenset[str], None]:
    """The names of the tables that changed, as commits come, until `stop` is set."""
    folder = Folders.at(data).create().announce
    async for batch in awatch(folder, stop_event=stop, debounce=DEBOUNCE_MS, step=DEBOUNCE_MS):
        yield _names(batch)


def watch_table_changes(
    data: Path, stop: threading.Event, timeout_ms: int
) -> Iterator[frozenset[str]]:
    """The same for a thread; an empty set each `timeout_ms` in which nothing came."""
    folder = Folders.at(data).create().announce
    for batch in watch(
        folder, stop_event=stop, debounce=DEBOUNCE_MS, step=DEBOUNCE_MS,
        rust_timeout=timeout_ms, yield_on_timeout=True, raise_interrupt=False,
    ):  # fmt: skip
        yield _names(batch)


def commit_times(data: Path) -> dict[str, int]:
    """When each table last changed [ns since 1970], as far as was announced."""
    folder = Folders.at(data).announce
    return {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} if folder.exists() else {}


def last_commit(data: Path) -> datetime | None:
    """When the writer last committed; None before its first time."""
    newest = max(commit_times(data).values(), default=None)
    return None if newest is None else datetime.fromtimestamp(newest / 1e9, UTC)


def pending_segments(data: Path) -> int:
    """How many segments wait in the inbox."""
    return sum(1 for _ in Folders.at(data).inbox.glob("*.parquet"))


def _names(batch: Iterable[tuple[object, str]]) -> frozenset[str]:
    return frozenset(Path(path).name for _, path in batch)
