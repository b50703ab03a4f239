"""When a function is due: its triggers against the clock, what changed, and how it fared."""

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
NOTHING: Mapping[str, set[Path]] = {}
BACK_OFF_S = (1, 2, 4, 8, 16, 30, 60)
# What waits for the lake goes on this soon after it can be read again.
LAKE_RETRY_S = 15


@dataclass
class Schedule:
    """When one function is due: its triggers, what changed, and how long it has to wait.

    `failures` in a row make it wait longer; with `SUSPEND_AFTER` `faults` of its own in a row a
    function that lives in other `hands` is parked. Ours are not: what they wait for is the disk.
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
    _looked: datetime | None = None

    def __post_init__(self) -> None:
        # While the process was down commits may have come: look once at the start.
        self.changed = {t.table for t in self.function.on if isinstance(t, Rows)}

    @property
    def parked(self) -> bool:
        """Whether it is only tried now and then."""
        return self.executor is not None and self.faults >= SUSPEND_AFTER

    def note(self, tables: Iterable[str], paths: Mapping[str, set[Path]] = NOTHING) -> None:
        """Remember which tables changed, and which files, by the pattern that they match."""
        for trigger in self.function.on:
            if isinstance(trigger, Rows):
                self.changed |= {trigger.table} & set(tables)
            elif isinstance(trigger, Files) and trigger.pattern in paths:
                self.paths |= paths[trigger.pattern]

    def take(self) -> tuple[set[str], set[Path]]:
        """What changed, which a run is about to look at."""
        taken = self.changed, self.paths
        self.changed, self.paths = set(), set()
        return taken

    def resume(self, standing: FunctionState) -> None:
        """Go on from what the ledger says of earlier runs."""
        self.last = standing.ran_at
        self.faults = self.failures = standing.failures
        revived = self.parked and standing.failed_at
        self.not_before = revived + RESUME_AFTER if revived else None

    def revive(self) -> None:
        """Forget the failures."""
        self.faults = self.failures = 0
        self.not_before = None

    def due(self, now: datetime) -> str | None:
        """What sets the function off now, in words; None when nothing does."""
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
        """A clock that was set back must not keep a function waiting until it has caught up."""
        if self._looked is not None and now < self._looked:
            self.last = self.not_before = None
            self._began = now
        self._looked = now

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
        """A run is over: after a failure it is tried again, later each time, with jitter.

        It is no `fault` of the function when its source or the disk did not answer. When it left
        `more` behind it is due again at once. `longest_s` bounds the wait unless it is parked.
        """
        self.more = more
        if not failed:
            self.last = now
            self.revive()
            return
        self.failures += 1
        self.faults += fault
        wait_s = min(longest_s, BACK_OFF_S[min(self.failures, len(BACK_OFF_S)) - 1])
        step = timedelta(seconds=wait_s)
        pause = RESUME_AFTER if self.parked else step
        self.not_before = now + pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter

    def wait_s(self, now: datetime) -> float:
        """Seconds until the clock may make it due."""
        nexts = [t.next_after(now) for t in self.function.on if isinstance(t, Every | Cron)]
        if self.not_before is not None and self.not_before > now:
            nexts = [self.not_before]
        elif self.more:
            return 0.0
        return min(((n - now).total_seconds() for n in nexts), default=LONGEST_WAIT_S)
