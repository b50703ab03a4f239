"""The loop of a process: waits for the clock and for commits, and runs what is due."""

import logging
import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from functions.runtime.function import Function
from functions.runtime.runner import Runner
from functions.runtime.triggers import Every, Rows
from storage.announce import watch_changes
from storage.folders import Folders
from storage.reader import LakeMissing

__all__ = ["Schedule", "work"]

log = logging.getLogger("functions")

FLUSH_EVERY = timedelta(seconds=15)
LONGEST_WAIT_S = 1.0
BACK_OFF_S = (1, 2, 4, 8, 16, 30, 60)


@dataclass
class Schedule:
    """When one function is due: its triggers, what changed, and how long it has to wait."""

    function: Function
    last: datetime | None = None
    changed: set[str] = field(default_factory=set)
    not_before: datetime | None = None
    failures: int = 0

    def __post_init__(self) -> None:
        # While the process was down commits may have come: look once at the start.
        self.changed = {t.table for t in self.function.on if isinstance(t, Rows)}

    def note(self, tables: Iterable[str]) -> None:
        """Remember which tables changed."""
        mine = {t.table for t in self.function.on if isinstance(t, Rows)}
        self.changed |= mine & set(tables)

    def due(self, now: datetime) -> str | None:
        """What sets the function off now, in words; None when nothing does."""
        if self.not_before is not None and now < self.not_before:
            return None
        for trigger in self.function.on:
            if isinstance(trigger, Every) and trigger.due(now, self.last):
                return str(trigger)
            if isinstance(trigger, Rows) and self._rows_due(trigger, now):
                return str(trigger)
        return None

    def _rows_due(self, trigger: Rows, now: datetime) -> bool:
        rested = self.last is None or now - self.last >= trigger.pause
        return rested and trigger.table in self.changed

    def ran(self, now: datetime, failed: bool) -> None:
        """A run is over: after a failure the next one waits, longer each time, with jitter."""
        self.last = now
        self.failures = self.failures + 1 if failed else 0
        if failed:
            step = BACK_OFF_S[min(self.failures, len(BACK_OFF_S)) - 1]
            self.not_before = now + timedelta(seconds=step * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
        else:
            self.not_before = None

    def wait_s(self, now: datetime) -> float:
        """Seconds until the clock may make it due."""
        nexts = [t.next_after(now) for t in self.function.on if isinstance(t, Every)]
        return min(((n - now).total_seconds() for n in nexts), default=LONGEST_WAIT_S)


def work(
    runner: Runner, functions: Iterable[Function], stop: threading.Event, watch_lake: bool
) -> None:
    """Run the functions as they become due, until `stop` is set."""
    schedules = [Schedule(f) for f in functions]
    news = _News(runner.folders, stop) if watch_lake else None
    flushed = datetime.now(UTC)
    while not stop.is_set():
        now = datetime.now(UTC)
        tables = news.take() if news else ()
        for schedule in schedules:
            schedule.note(tables)
            _run_if_due(runner, schedule)
        if now - flushed >= FLUSH_EVERY:
            runner.flush()
            flushed = now
        now = datetime.now(UTC)
        pause = max(0.0, min([LONGEST_WAIT_S, *(s.wait_s(now) for s in schedules)]))
        (news.arrived if news else stop).wait(pause)
    runner.flush()


def _run_if_due(runner: Runner, schedule: Schedule) -> None:
    now = datetime.now(UTC)
    trigger = schedule.due(now)
    if trigger is None:
        return
    before, schedule.changed = schedule.changed, set()
    run = runner.run(schedule.function, trigger, now)
    schedule.ran(now, run.outcome == "failed")
    if run.outcome == "failed":
        schedule.changed |= before
        if not _waits_for_lake(run.error):
            log.error("%s failed: %s", run.function, run.error)
            runner.flush()
    elif run.outcome == "ok":
        log.info(
            "%s: %d rows in %.0f ms", run.function, run.batch.row_count, run.entry["duration_ms"]
        )


def _waits_for_lake(error: str | None) -> bool:
    return (error or "").startswith(LakeMissing.__name__)


class _News:
    """Which tables changed since they were last taken, gathered by a thread."""

    def __init__(self, folders: Folders, stop: threading.Event) -> None:
        self.arrived = threading.Event()
        self._lock = threading.Lock()
        self._tables: set[str] = set()
        self._folders = folders
        self._stop = stop
        threading.Thread(target=self._gather, daemon=True, name="news").start()

    def take(self) -> set[str]:
        with self._lock:
            tables, self._tables = self._tables, set()
            self.arrived.clear()
        return tables

    def _gather(self) -> None:
        for tables in watch_changes(self._folders.data, self._stop, timeout_ms=1000):
            if tables:
                with self._lock:
                    self._tables |= tables
                    self.arrived.set()
