"""Schedule: when one function is due, by its triggers, by what changed, and by its failures."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from functions.engine.executors.executor import Executor
from functions.engine.function import Declared
from functions.engine.run_log import RESUME_AFTER, SUSPEND_AFTER, FunctionState
from functions.engine.triggers import Cron, Every, Files, Rows

__all__ = ["BACK_OFF_S", "LONGEST_WAIT_S", "Schedule"]

LONGEST_WAIT_S = 1.0
NO_PATHS: Mapping[str, set[Path]] = {}
BACK_OFF_S = (1, 2, 4, 8, 16, 30, 60)
# A function that waits for the lake runs at the latest this long after the lake can be read again.
LAKE_RETRY_S = 15


@dataclass
class Schedule:
    """When one function is due.

    It waits longer after each of its `failures` in a row. With SUSPEND_AFTER `faults` in a row a
    function that has an `executor` of its own is suspended. Ours are not: they fail when the disk
    or the lake does.
    """

    function: Declared
    executor: Executor | None = None
    last: datetime | None = None
    changed: set[str] = field(default_factory=set)
    paths: set[Path] = field(default_factory=set)
    not_before: datetime | None = None
    failures: int = 0
    faults: int = 0
    more: bool = False
    _began: datetime | None = None
    _checked_at: datetime | None = None

    def __post_init__(self) -> None:
        # Commits may have come while the process was down: it is due once at the start.
        self.changed = {t.table for t in self.function.on if isinstance(t, Rows)}

    @property
    def suspended(self) -> bool:
        """Return True if it only runs every RESUME_AFTER."""
        return self.executor is not None and self.faults >= SUSPEND_AFTER

    def note(self, tables: Iterable[str], paths: Mapping[str, set[Path]] = NO_PATHS) -> None:
        """Note the tables that changed, and the files, by the pattern that they match."""
        for trigger in self.function.on:
            if isinstance(trigger, Rows):
                self.changed |= {trigger.table} & set(tables)
            elif isinstance(trigger, Files) and trigger.pattern in paths:
                self.paths |= paths[trigger.pattern]

    def take(self) -> tuple[set[str], set[Path]]:
        """Return the tables and files noted so far, for a run that is about to read them."""
        changed, paths = self.changed, self.paths
        self.changed, self.paths = set(), set()
        return changed, paths

    def restore(self, state: FunctionState) -> None:
        """Continue after the earlier runs that `state` sums up."""
        self.last = state.ran_at
        self.faults = self.failures = state.failures
        failed_at = state.failed_at if self.suspended else None
        self.not_before = failed_at + RESUME_AFTER if failed_at else None

    def resume(self) -> None:
        """Forget the failures."""
        self.faults = self.failures = 0
        self.not_before = None

    def due(self, now: datetime) -> str | None:
        """Return what sets the function off at `now`, in words; None when nothing does."""
        self._began = self._began or now
        self._follow_clock(now)
        if self.not_before is not None and now < self.not_before:
            return None
        if self.more:
            return "more to fetch"
        for trigger in self.function.on:
            if isinstance(trigger, Every) and trigger.due(now, self.last):
                return str(trigger)
            if isinstance(trigger, Cron) and trigger.due(now, self.last or self._began):
                return str(trigger)
            if isinstance(trigger, Rows) and self._rows_due(trigger, now):
                return str(trigger)
            if isinstance(trigger, Files) and self.paths:
                return str(trigger)
        return None

    def _follow_clock(self, now: datetime) -> None:
        """Start anew after the clock was set back: no function waits until it has caught up."""
        if self._checked_at is not None and now < self._checked_at:
            self.last = self.not_before = None
            self._began = now
        self._checked_at = now

    def _rows_due(self, trigger: Rows, now: datetime) -> bool:
        rested = self.last is None or now - self.last >= trigger.pause
        return rested and trigger.table in self.changed

    def ran(
        self,
        now: datetime,
        failed: bool,
        fault: bool = True,
        more: bool = False,
        longest_s: float = BACK_OFF_S[-1],
    ) -> None:
        """Note that a run has ended: after a failure it runs again, later each time, with jitter.

        A failure is not a `fault` of the function when its source or the disk did not answer. With
        `more` to do it is due again at once. `longest_s` bounds the wait of one not suspended.
        """
        self.more = more
        if not failed:
            self.last = now
            self.resume()
            return
        self.failures += 1
        self.faults += fault
        wait_s = min(longest_s, BACK_OFF_S[min(self.failures, len(BACK_OFF_S)) - 1])
        step = timedelta(seconds=wait_s)
        pause = RESUME_AFTER if self.suspended else step
        self.not_before = now + pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter

    def wait_s(self, now: datetime) -> float:
        """Return the seconds until the clock may make it due."""
        nexts = [t.next_after(now) for t in self.function.on if isinstance(t, Every | Cron)]
        if self.not_before is not None and self.not_before > now:
            nexts = [self.not_before]
        elif self.more:
            return 0.0
        return min(((n - now).total_seconds() for n in nexts), default=LONGEST_WAIT_S)
