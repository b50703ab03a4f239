"""`hoursight call`: run a function once or on its schedule, and print its rows and errors."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from functions.engine.caller import FunctionCaller
from functions.engine.executors.executor import Executor
from functions.engine.function import Declared
from functions.engine.runner import Run
from functions.engine.triggers import Cron, Every
from scripts.cli.output import show_batch
from storage.errors import HoursightError
from storage.ipc.decoding import InvalidJson, decode_json
from storage.platform.printable import printable_lines

__all__ = ["NotCalled", "call_function"]

Say = Callable[..., Any]

MAX_SHOWN = 200


class NotCalled(HoursightError):
    """A call that is not possible with these options; the message says why."""


def call_function(
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
    """Run a function once, or on its schedule until it is interrupted; return True if it succeeded.

    A function that has more to do is called until it is done; a dry run moves no cursor, and calls
    it once. Raises NotCalled and UnknownFunction.
    """
    caller, parsed_body = FunctionCaller.at(data), _parsed(body)
    entry = caller.find(name)
    as_of = now.replace(tzinfo=UTC) if now else None
    with caller.executor(entry) as executor:
        while True:
            run = caller.runner.run(
                entry.function,
                "command",
                as_of,
                dry_run,
                executor=executor,
                paths=files,
                body=parsed_body,
            )
            caller.runner.flush()
            _print(run, executor, say, verbose, dry_run)
            if run.batch.more and run.error is None and not dry_run:
                continue
            if once:
                return run.error is None
            _wait_for_schedule(entry.function)


def _parsed(body: str | None) -> Any:
    if body is None:
        return None
    try:
        return decode_json(body, narrow=True)
    except InvalidJson as error:
        shown = body if len(body) <= MAX_SHOWN else f"{body[:MAX_SHOWN]}…"
        raise NotCalled(f"--body {shown!r} is not valid JSON: {error}") from error


def _print(run: Run, executor: Executor | None, say: Say, verbose: bool, dry_run: bool) -> None:
    printed = getattr(executor, "printed", "").rstrip()
    if printed:
        _say_lines(say, printed)
    if run.error:
        _say_lines(say, f"{run.function} {run.outcome}: {run.error}")
        return
    for reason in run.batch.reasons:
        say(f"! {reason}", err=True)
    if verbose:
        show_batch(run.batch)
    destination = "not written (dry run)" if dry_run else "in the inbox"
    for name, rows in run.batch.rows.items():
        say(f"{run.function}: {rows.num_rows} rows for {name}, {destination}")
    if not run.batch.row_count:
        say(f"{run.function}: nothing to do")


def _say_lines(say: Say, text: str) -> None:
    for line in printable_lines(text).splitlines():
        say(line, err=True)


def _wait_for_schedule(function: Declared) -> None:
    clocks = [t for t in function.on if isinstance(t, Every | Cron)]
    if not clocks:
        raise NotCalled(f"{function.name} has no schedule to repeat: leave --repeat out")
    now = datetime.now(UTC)
    time.sleep(min((t.next_after(now) - now).total_seconds() for t in clocks))
