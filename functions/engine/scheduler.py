"""Scheduler loops: each waits for the clock, commits and files, and runs what is due.

Our own functions share one loop. A source that runs in a worker has a loop of its own, a
SourceWorker, so that no other function waits for it.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
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

__all__ = ["SchedulerLoop", "SourceWorker", "run_if_due", "run_scheduler"]

log = logging.getLogger(__name__)

SUSPENDED = "%s is suspended after 5 failures in a row and tried again every 10 minutes"


class SchedulerLoop:
    """Runs some functions in turn as they become due."""

    def __init__(
        self,
        runner: Runner,
        schedules: Sequence[Schedule],
        wake_event: WakeEvent,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._beat = beat
        self._runner = runner
        self._schedules = schedules
        self._wake_event = wake_event

    def keep_going(self, stop: threading.Event) -> None:
        """Run what is due until `stop` is set; with a post to the wake event it ends at once."""
        while not stop.is_set():
            self._beat()
            tables, paths = self._wake_event.take()
            for schedule in self._schedules:
                schedule.note(tables, paths)
                if schedule.suspended and "runs" in tables:
                    self._resume_if_requested(schedule)
                if not stop.is_set():
                    run_if_due(self._runner, schedule)
            self._runner.run_log.flush_if_due()
            now = self._runner.clock()
            pause = min([LONGEST_WAIT_S, *(s.wait_s(now) for s in self._schedules)])
            self._wake_event.arrived.wait(max(0.0, pause))

    def _resume_if_requested(self, schedule: Schedule) -> None:
        """Resume a suspended function for which the lake has the row of a `resume` command."""
        try:
            state = self._runner.run_log.state(schedule.function)
        except LakeUnreadable as error:
            log.warning("%s stays suspended: %s", schedule.function.name, error)
            return
        if not state.suspended:
            log.info("%s runs again", schedule.function.name)
            schedule.resume()


class SourceWorker:
    """The thread that runs the functions of one source, in a worker, when they are due."""

    def __init__(
        self, runner: Runner, executor: SubprocessExecutor, commits: CommitListener
    ) -> None:
        self.executor = executor
        self.pool = WorkerPool(executor)
        self._runner = runner
        self._commits = commits
        self._wake_event = WakeEvent()
        self._stop = threading.Event()
        self._thread = SupervisedThread(executor.source.name, self._run, self._stop)

    def start(self) -> None:
        """Load the source unless it is loaded, and run its functions when they are due."""
        self._thread.start()

    def stop(self) -> None:
        """End it at once, also in the middle of a run, which leaves nothing behind."""
        self._stop.set()
        self._wake_event.post()
        self.pool.close()
        self.executor.close()
        self._thread.join()

    def _run(self) -> None:
        self._load()
        if self._stop.is_set():
            return
        ended = threading.Event()
        self._commits.subscribe(self._wake_event)
        try:
            schedules = [self._schedule(function, ended) for function in self.executor.functions]
            SchedulerLoop(self._runner, schedules, self._wake_event).keep_going(self._stop)
        finally:
            ended.set()
            self._commits.unsubscribe(self._wake_event)

    def _load(self) -> None:
        """Load the source; after a failure try again until it is stopped."""
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
        state = self._state(function)
        schedule.restore(state)
        log.debug(
            "%s continues: last ran %s, %d failures in a row",
            function.name, state.ran_at, state.failures,
        )  # fmt: skip
        for trigger in function.on:
            if isinstance(trigger, Files):
                watch = FileWatch(
                    self._runner.folders, trigger.pattern, state.ran_at, self._wake_event
                )
                name = f"files of {function.name}"
                SupervisedThread(name, partial(watch.keep_going, ended), ended).start()
        return schedule

    def _state(self, function: Declared) -> FunctionState:
        """Return the state of a function; while the lake cannot be read, without committed runs.

        Raises LakeUnreadable for a function of files: without the time of its last run it would be
        handed all of them again.
        """
        run_log = self._runner.run_log
        try:
            return run_log.state(function)
        except LakeUnreadable as error:
            if any(isinstance(trigger, Files) for trigger in function.on):
                raise
            log.warning("%s starts without its earlier runs: %s", function.name, error)
            return run_log.state(function, committed=False)


def run_scheduler(
    runner: Runner,
    functions: Iterable[Declared],
    stop: threading.Event,
    watch_lake: bool,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Run functions in this process as they become due, until `stop` is set."""
    wake_event = WakeEvent()
    if watch_lake:
        CommitListener(runner.folders, stop).subscribe(wake_event)
    loop = SchedulerLoop(runner, [Schedule(f) for f in functions], wake_event, beat)
    run_supervised("functions", partial(loop.keep_going, stop), stop)
    runner.flush()


def run_if_due(runner: Runner, schedule: Schedule) -> None:
    """Run a function if it is due at the runner's clock, and note in the schedule how that went."""
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
        _log_run(run, schedule)
        if paths:
            runner.flush()  # so that after a restart only newer files are handed over
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
        _log_run(run, schedule)
        runner.flush()


def _log_run(run: Run, schedule: Schedule) -> None:
    with logs.during_run(run.entry["run_id"]):
        if run.error:
            log.error("%s %s: %s", run.function, run.outcome, run.error)
            if schedule.suspended:
                log.error(SUSPENDED, run.function)
        elif run.batch.row_count:
            log.info(
                "%s: %d rows in %.0f ms%s",
                run.function, run.batch.row_count, run.entry["duration_ms"], _reached(run),
            )  # fmt: skip


def _reached(run: Run) -> str:
    """Return the newest time of a fetch that continues at once, in words; else nothing."""
    rows = run.batch.rows.get("metrics")
    if not run.batch.more or rows is None or not rows.num_rows:
        return ""
    return f", up to {pc.max(rows['ts']).as_py():%Y-%m-%d %H:%M:%S}, and there is more"
