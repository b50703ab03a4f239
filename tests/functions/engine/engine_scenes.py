"""A runner whose runs can be waited for, and files of functions to run."""

import threading
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from functions.engine.executors.executor import RunStopped
from functions.engine.executors.function_call import CallRequest, CallResult
from functions.engine.function import Declared
from functions.engine.runner import Runner
from functions.engine.triggers import Trigger, every
from storage.config.folders import Folders
from storage.config.settings import Settings

WITHIN_S = 40.0  # children take their time on a busy machine

HEAD = """
import ctypes, os, sys, time
from datetime import UTC, datetime, timedelta
import pyarrow as pa
from hoursight import Batch, Unreachable, cron, every
from hoursight import files, function, request, rows

def facts(now, server="a"):
    return pa.table({"server": [server], "ts": pa.array([now], pa.timestamp("us", "UTC"))})

facts(datetime.now(UTC))  # what pyarrow imports at its first time is no part of a deadline
"""


class Watched(Runner):
    """A runner whose runs can be waited for."""

    def __init__(
        self,
        folders: Folders,
        settings: Settings | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(folders.create(), settings or Settings(), clock)
        self.entries: list[dict[str, Any]] = []
        self._entered = threading.Condition()
        enter = self.run_log.enter

        def enter_and_notify(entry: dict[str, Any]) -> None:
            enter(entry)
            with self._entered:
                self.entries.append(entry)
                self._entered.notify_all()

        self.run_log.enter = enter_and_notify  # type: ignore[method-assign]

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until the condition holds; it is evaluated after each run."""
        with self._entered:
            assert self._entered.wait_for(condition, WITHIN_S), f"not in time: {what}"
            return condition()

    def of(self, function: str, outcome: str | None = None) -> list[dict[str, Any]]:
        """The runs of a function so far."""
        return [
            e for e in self.entries
            if e["function"] == function and outcome in (None, e["outcome"])
        ]  # fmt: skip

    def until_run(self, function: str, outcome: str = "ok", times: int = 1) -> dict[str, Any]:
        """Wait for the n-th run of that outcome."""
        what = f"{function} {outcome} {times} times"
        self.until(lambda: len(self.of(function, outcome)) >= times, what)
        return self.of(function, outcome)[times - 1]


def save(folders: Folders, name: str, body: str) -> Path:
    """Save a file of the user's functions."""
    folders.functions.mkdir(parents=True, exist_ok=True)
    path = folders.functions / f"{name}.py"
    path.write_text(HEAD + body)
    return path


@contextmanager
def in_background(target: Callable[..., None], stop: threading.Event, *arguments: Any) -> Any:
    """Run something that ends when `stop` is set."""
    thread = threading.Thread(target=target, args=(*arguments, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(WITHIN_S)
        assert not thread.is_alive()


def declared(*on: Trigger, code_hash: str = "old hash") -> Declared:
    """A function that is declared and has no code here."""
    return Declared("fragile", on or (every("1s"),), ("scenarios",), "Fail.", (), code_hash)


class FailingExecutor:
    """Ends each call with the same outcome, and counts the calls."""

    def __init__(self, outcome: str = "crashed") -> None:
        self.outcome = outcome
        self.calls = 0

    def call(self, function: Declared, request: CallRequest) -> CallResult:
        self.calls += 1
        raise RunStopped(self.outcome, f"{function.name} at {request.now}")


BAD_FIVE = ("failed", "crashed", "timed out", "out of memory", "failed")


def enter_runs(runner: Runner, outcomes: tuple[str, ...]) -> None:
    """Let `fragile` fail with these outcomes, one second apart."""
    for i, outcome in enumerate(outcomes):
        now = runner.clock() - timedelta(seconds=60 - i)
        runner.run(declared(every("5s")), "test", now, executor=FailingExecutor(outcome))
