"""The loops of a process: each waits for the clock, commits and files, and runs what is due.

Ours share one loop. A source that lives in another process has a loop of its own, a `Resident`, so
that nobody waits for it.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from functools import partial

import pyarrow.compute as pc

from functions.engine.executors.executor import RunStopped
from functions.engine.executors.subprocess_executor import LoadFailed, SubprocessExecutor
from functions.engine.executors.worker_pool import WorkerPool
from functions.engine.function import Declared
from functions.engine.listeners import CommitListener, FileWatch, WakeEvent
from functions.engine.run_log import FunctionState
from functions.engine.runner import Run, Runner
from functions.engine.schedule import BACK_OFF_S, LAKE_RETRY_S, LONGEST_WAIT_S, Schedule
from functions.engine.triggers import Files
from storage.errors import LakeUnreadable
from storage.platform import logs
from storage.platform.threads import SupervisedThread, run_supervised

__all__ = ["BACK_OFF_S", "Schedule", "SchedulerLoop", "SourceWorker", "run_scheduler"]

log = logging.getLogger(__name__)


class SchedulerLoop:
    """Runs some functions in turn as they become due."""

    def __init__(self, runner: Runner, schedules: Sequence[Schedule], mailbox: WakeEvent) -> None:
        self._runner = runner
        self._schedules = schedules
        self._mailbox = mailbox

    def keep_going(self, stop: threading.Event) -> None:
        """Go on until `stop` is set; who sets it may post to the mailbox to be heard at once."""
        while not stop.is_set():
            tables, paths = self._mailbox.take()
            for schedule in self._schedules:
                schedule.note(tables, paths)
                if schedule.parked and "runs" in tables:
                    self._look_for_revival(schedule)
                if not stop.is_set():
                    _run_if_due(self._runner, schedule)
            self._runner.ledger.flush_now_and_then()
            now = self._runner.clock()
            pause = min([LONGEST_WAIT_S, *(s.wait_s(now) for s in self._schedules)])
            self._mailbox.arrived.wait(max(0.0, pause))

    def _look_for_revival(self, schedule: Schedule) -> None:
        try:
            parked = self._runner.ledger.standing(schedule.function).parked
        except LakeUnreadable as error:
            log.warning("whether %s may run again is not known: %s", schedule.function.name, error)
            return
        if not parked:
            log.info("%s runs again", schedule.function.name)
            schedule.revive()


class SourceWorker:
    """A source that lives in a child: the thread that runs its functions when they are due."""

    def __init__(self, runner: Runner, executor: SubprocessExecutor, news: CommitListener) -> None:
        self.executor = executor
        self.pool = WorkerPool(executor)
        self._runner = runner
        self._news = news
        self._mailbox = WakeEvent()
        self._stop = threading.Event()
        self._thread = SupervisedThread(executor.source.name, self._live, self._stop)

    def start(self) -> None:
        """Load the source if that is still to be done, and run what it declares."""
        self._thread.start()

    def stop(self) -> None:
        """End it at once, also in the middle of a run: what that would have brought comes again."""
        self._stop.set()
        self._mailbox.post()
        self.pool.close()
        self.executor.close()
        self._thread.join()

    def _live(self) -> None:
        self._load()
        if self._stop.is_set():
            return
        ended = threading.Event()
        self._news.subscribe(self._mailbox)
        try:
            schedules = [self._schedule(function, ended) for function in self.executor.functions]
            SchedulerLoop(self._runner, schedules, self._mailbox).keep_going(self._stop)
        finally:
            ended.set()
            self._news.leave(self._mailbox)

    def _load(self) -> None:
        """Load the source, and try again until it can be loaded or is stopped."""
        while not self._stop.is_set():
            try:
                self.executor.load()
                return
            except LoadFailed as error:
                self._runner.failed_to_load(self.executor.source, str(error))
                self._stop.wait(BACK_OFF_S[-1])
            except RunStopped:
                if not self._stop.is_set():
                    raise

    def _schedule(self, function: Declared, ended: threading.Event) -> Schedule:
        schedule = Schedule(function, self.executor)
        standing = self._standing(function)
        schedule.resume(standing)
        log.debug(
            "%s goes on: last ran %s, %d failures in a row",
            function.name, standing.ran_at, standing.failures,
        )  # fmt: skip
        for trigger in function.on:
            if isinstance(trigger, Files):
                watch = FileWatch(
                    self._runner.folders, trigger.pattern, standing.ran_at, self._mailbox
                )
                name = f"files of {function.name}"
                SupervisedThread(name, partial(watch.keep_going, ended), ended).start()
        return schedule

    def _standing(self, function: Declared) -> FunctionState:
        """How a function fares; while the lake cannot be read, as far as it is known without.

        Raises LakeUnreadable for one that files set off: without the time of its last run it would
        be handed all of them again.
        """
        ledger = self._runner.ledger
        try:
            return ledger.standing(function)
        except LakeUnreadable as error:
            if any(isinstance(trigger, Files) for trigger in function.on):
                raise
            log.warning("%s starts without its earlier runs: %s", function.name, error)
            return ledger.standing(function, committed=False)


def run_scheduler(
    runner: Runner, functions: Iterable[Declared], stop: threading.Event, watch_lake: bool
) -> None:
    """Run functions in this process as they become due, until `stop` is set."""
    mailbox = WakeEvent()
    if watch_lake:
        CommitListener(runner.folders, stop).subscribe(mailbox)
    lane = SchedulerLoop(runner, [Schedule(f) for f in functions], mailbox)
    run_supervised("functions", partial(lane.keep_going, stop), stop)
    runner.flush()


def _run_if_due(runner: Runner, schedule: Schedule) -> None:
    now = runner.clock()
    trigger = schedule.due(now)
    if trigger is None:
        return
    tables, paths = schedule.take()
    log.debug("%s is due: %s", schedule.function.name, trigger)
    run = runner.run(
        schedule.function, trigger, now, executor=schedule.executor, paths=tuple(sorted(paths))
    )
    if run.outcome in ("ok", "nothing"):
        schedule.ran(now, failed=False, more=run.batch.more)
        _tell(run, schedule)
        if paths:
            runner.flush()  # after a restart only newer files are handed over
        return
    schedule.note(tables)
    schedule.paths |= paths
    longest_s = LAKE_RETRY_S if run.waits_for_lake else BACK_OFF_S[-1]
    schedule.ran(now, failed=True, fault=run.is_fault, longest_s=longest_s)
    log.debug(
        "%s backs off after %d failures in a row, until %s",
        run.function, schedule.failures, schedule.not_before,
    )  # fmt: skip
    if not run.waits:
        _tell(run, schedule)
        runner.flush()


def _tell(run: Run, schedule: Schedule) -> None:
    with logs.during_run(run.entry["run_id"]):
        _log(run, schedule)


def _log(run: Run, schedule: Schedule) -> None:
    if run.error:
        log.error("%s %s: %s", run.function, run.outcome, run.error)
        if schedule.parked:
            log.error("%s is parked and tried again every 10 minutes", run.function)
    elif run.batch.row_count:
        took_ms = run.entry["duration_ms"]
        log.info(
            "%s: %d rows in %.0f ms%s", run.function, run.batch.row_count, took_ms, _reached(run)
        )


def _reached(run: Run) -> str:
    """How far a fetch is that goes on at once."""
    rows = run.batch.rows.get("metrics")
    if not run.batch.more or rows is None or not rows.num_rows:
        return ""
    return f", up to {pc.max(rows['ts']).as_py():%Y-%m-%d %H:%M:%S}, and there is more"
