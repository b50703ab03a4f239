"""`hoursight call`: run a function and tell what came of it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from functions.engine.catalog_view import Roster
from functions.engine.executors.executor import Executor
from functions.engine.function import Declared
from functions.engine.runner import Run, Runner
from functions.engine.triggers import Cron, Every
from scripts.cli.output import show_batch
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.errors import HoursightError

__all__ = ["NotCalled", "call_and_tell", "roster_of"]

Say = Callable[..., Any]


class NotCalled(HoursightError):
    """A call that cannot be made as it was asked for; the message says why."""


def roster_of(data: Path) -> Roster:
    """The functions of a data folder."""
    return Roster(Runner(Folders.at(data).create(), read_settings(data)))


def call_and_tell(
    data: Path,
    name: str,
    now: datetime | None,
    say: Say,
    *,
    once: bool,
    body: str | None,
    files: tuple[Path, ...],
    verbose: bool,
    dry_run: bool,
) -> bool:
    """Run a function once, or on its schedule for ever; whether it went well.

    What comes in portions comes whole, portion by portion; a dry run moves no cursor and shows one.
    """
    roster, sent = roster_of(data), _parsed(body)
    known = roster.find(name)
    moment = now.replace(tzinfo=UTC) if now else None
    with roster.at_hand(known) as executor:
        while True:
            run = roster.runner.run(
                known.function,
                "command",
                moment,
                dry_run,
                executor=executor,
                paths=files,
                body=sent,
            )
            roster.runner.flush()
            _tell(run, executor, say, verbose, dry_run)
            if run.batch.more and run.error is None and not dry_run:
                continue
            if once:
                return run.error is None
            _wait_for_schedule(known.function)


def _parsed(body: str | None) -> Any:
    try:
        return None if body is None else msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise NotCalled(f"--body {body!r} is no JSON: {error}") from error


def _tell(run: Run, executor: Executor | None, say: Say, verbose: bool, dry_run: bool) -> None:
    printed = getattr(executor, "printed", "").rstrip()
    if printed:
        say(printed, err=True)
    if run.error:
        say(f"{run.function} {run.outcome}: {run.error}", err=True)
        return
    if verbose:
        show_batch(run.batch)
    fate = "not written (dry run)" if dry_run else "in the inbox"
    for name, rows in run.batch.rows.items():
        say(f"{run.function}: {rows.num_rows} rows for {name}, {fate}")
    if not run.batch.row_count:
        say(f"{run.function}: nothing to do")


def _wait_for_schedule(function: Declared) -> None:
    clocks = [t for t in function.on if isinstance(t, Every | Cron)]
    if not clocks:
        raise NotCalled(f"{function.name} has no schedule to repeat: leave --repeat out")
    now = datetime.now(UTC)
    time.sleep(min((t.next_after(now) - now).total_seconds() for t in clocks))
