"""Report of the warm start: the lines that `up` and `demo` print about it."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from functions.rules.warm_start_attempts import Attempt, is_done, next_attempt_at
from functions.warm_start import ATTEMPTS
from storage.inbox.notify import table_changes
from storage.query.reader import LakeMissing, LakeUnreadable, QueryFailed, Reader

__all__ = ["line_of", "report_warm_start"]

Print = Callable[[str], None]


async def report_warm_start(data: Path, say: Print, stop: asyncio.Event) -> None:
    """Print a line when a warm start begins and when it ends, until one has succeeded.

    What came of attempts before this start of the system is not printed.
    """
    known = await asyncio.to_thread(_attempts, data)
    if is_done(known):
        return
    said = {(each.training, each.event) for each in known if each.is_over}
    async with aclosing(table_changes(data, stop)) as commits:
        async for tables in commits:
            if "trainings" not in tables:
                continue
            attempts = await asyncio.to_thread(_attempts, data)
            for attempt in attempts:
                line = line_of(attempt, attempts, data, datetime.now(UTC))
                key = (attempt.training, "started" if line is _BEGINS else attempt.event)
                if line is not None and key not in said:
                    said.add(key)
                    say(f"{'learn':>9} │ {line}")
            if is_done(attempts):
                return


_BEGINS = (
    "a warm start begins: the loop learns from the history of this lake, at low priority, in some "
    "minutes. Everything else goes on"
)


def line_of(attempt: Attempt, attempts: list[Attempt], data: Path, now: datetime) -> str | None:
    """Return what there is to say about an attempt; None: nothing."""
    if attempt.event in ("started", "progress"):
        return _BEGINS
    if attempt.event == "learned":
        return f"the warm start is done: {attempt.reason}. The next forecasts use it"
    if attempt.event != "failed":
        return None
    next_at = next_attempt_at(attempts, now)
    again = f"it is tried again at {next_at:%Y-%m-%d %H:%M} UTC" if next_at else (
        "it is not tried again by itself"
    )  # fmt: skip
    return (
        f"the warm start failed: {attempt.reason}. Forecasts go on, and the loop learns from now "
        f"on; {again}, or now by: hoursight warmstart --data {data}"
    )


def _attempts(data: Path) -> list[Attempt]:
    """Return the attempts so far, oldest first; none while there is no lake to read."""
    try:
        reader = Reader.open(data)
    except (LakeMissing, LakeUnreadable):
        return []
    try:
        rows: list[dict[str, Any]] = reader.query(ATTEMPTS, now=datetime.now(UTC)).to_pylist()
    except QueryFailed:  # the writer is creating the tables
        return []
    finally:
        reader.close()
    return sorted((Attempt(**row) for row in rows), key=lambda attempt: attempt.ts)
