"""Runner: calls one function, writes its rows to the inbox, and enters the run in the run log."""

import logging
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from functions.engine.executors.executor import (
    CostMeter,
    Executor,
    InProcessExecutor,
    RunStopped,
    error_text,
    outcome_of,
)
from functions.engine.executors.function_call import CallRequest, CallResult
from functions.engine.executors.worker_protocol import CodeSource, Raised
from functions.engine.function import Batch, Declared
from functions.engine.gaps import split_at_gaps
from functions.engine.run_history import HistoryQuery, LocalRunHistory, RunHistory
from functions.engine.run_log import FAILURES, LOADING, RESUMED, Entry, RunLog
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.errors import LakeMissing, LakeUnreadable
from storage.inbox import segment
from storage.model.schema import table
from storage.platform import logs
from storage.platform.error_text import bounded

__all__ = ["Run", "Runner"]

log = logging.getLogger(__name__)

_PROVENANCE = tuple(field.name for field in fields(segment.Provenance))
# Of the segments of one batch the last alone has these: no cursor may outrun its rows.
_ONLY_LAST = {"cursor": None, "refused": 0, "clamped": 0, "reasons": ()}


# Segments that are this far ahead of the clock count as of the present: it may step back a little.
MAX_AHEAD = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its batch (empty after an error), and its row in the run log."""

    function: str
    batch: Batch
    entry: Entry
    raised: Raised | None = None  # the error of ours that ended it, if one did

    @property
    def outcome(self) -> str:
        """Return how it ended: one of storage.model.schema.OUTCOMES, or "stopped"."""
        return str(self.entry["outcome"])

    @property
    def error(self) -> str | None:
        """Return what went wrong, in words."""
        error: str | None = self.entry["error"]
        return error

    @property
    def waits(self) -> bool:
        """Return True if there is no lake yet to run on, or the system stops: not worth a line."""
        lake_missing = self.raised is not None and self.raised.is_a(LakeMissing)
        return self.outcome == "stopped" or lake_missing

    @property
    def waits_for_lake(self) -> bool:
        """Return True if it could not run because the lake cannot be read."""
        return self.raised is not None and self.raised.is_a(LakeUnreadable)

    @property
    def is_fault(self) -> bool:
        """Return True if the function itself is to blame."""
        return self.outcome in FAILURES and not self.waits


class Runner:
    """Runs functions against one data folder; safe to share between threads.

    It looks up earlier runs in `history`, by default in the lake itself.
    """

    def __init__(
        self,
        folders: Folders,
        settings: Settings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        history: RunHistory | None = None,
    ) -> None:
        self.folders = folders
        self.settings = settings
        self.clock = clock
        self._in_process = InProcessExecutor(folders, settings)
        self._cursors: dict[str, str] = {}
        self.history = history or LocalRunHistory(self._in_process.reader)
        self.run_log = RunLog(folders, clock, self.history)

    def run(
        self,
        function: Declared,
        trigger: str,
        now: datetime | None = None,
        dry: bool = False,
        *,
        executor: Executor | None = None,
        paths: tuple[Path, ...] = (),
        body: Any = None,
    ) -> Run:
        """Run a function once, as of `now`; its rows become segments unless it is `dry`.

        Without an `executor` it is called in this process. What it raises becomes the error of the
        run.
        """
        run_id = uuid.uuid4().hex
        request = CallRequest(now or self.clock(), None, paths, body)
        with logs.during_run(run_id):
            log.debug("run of %s as of %s (%s)", function.name, request.now, trigger)
            entry = {"run_id": run_id, "trigger": trigger}
            run = self._run(function, entry, request, dry, executor or self._in_process)
            log.debug(
                "%s %s after %.0f ms: %d rows in, %d out, %.2f s of CPU, snapshot %s%s",
                run.function, run.outcome, run.entry["duration_ms"], run.entry["rows_in"],
                run.entry["rows_out"], run.entry["cpu_s"], run.entry["input_snapshot"],
                ", more to come" if run.batch.more else "",
            )  # fmt: skip
        return run

    def _run(
        self, function: Declared, entry: Entry, request: CallRequest, dry: bool, executor: Executor
    ) -> Run:
        now, began, meter = request.now, time.perf_counter(), CostMeter()
        raised: Raised | None = None
        try:
            cursor = self._cursor(function) if "cursor" in function.needs else None
            result = executor.call(function, msgspec.structs.replace(request, cursor=cursor))
            error = None if dry else self._try_write(function, result, now, entry["run_id"])
            outcome = "not written" if error else ("ok" if result.batch.row_count else "nothing")
        except RunStopped as stopped:
            result, raised = CallResult(Batch(), cost=stopped.cost), stopped.raised
            outcome, error = stopped.outcome, str(stopped)
        except Exception as failure:  # a function is foreign code and may raise anything
            result, raised = CallResult(Batch()), Raised.of(failure)
            outcome, error = outcome_of(failure), error_text(failure)
        entry |= _values_of(table("runs").names, function, result, result.batch)
        entry |= _values_of(table("runs").names, result.cost or meter.cost())
        entry |= {
            "function": function.name,
            "ts": now,
            "outcome": outcome,
            "error": None if error is None else bounded(error),
            "rows_out": result.batch.row_count,
            "duration_ms": 1000 * (time.perf_counter() - began),
        }
        run = Run(function.name, result.batch, entry, raised)
        if not dry and not run.waits:
            self.run_log.enter(entry)
        return run

    def run_whole(
        self,
        function: Declared,
        trigger: str,
        now: datetime | None = None,
        dry: bool = False,
        **more: Any,
    ) -> Run:
        """Run a function again while it has more to do; return one run with the rows of all parts.

        Takes the arguments of `run`. A `dry` one is the first part. All rows are kept in memory.
        """
        now = now or self.clock()
        runs = [self.run(function, trigger, now, dry, **more)]
        while runs[-1].batch.more and runs[-1].error is None and not dry:
            runs.append(self.run(function, trigger, now, **more))
        return _joined(runs)

    def failed_to_load(self, source: CodeSource, error: str) -> None:
        """Enter in the run log that a source cannot be loaded, and why."""
        error = bounded(error)
        log.error("%s cannot be loaded: %s", source.name, error)
        self._enter(source.name, source.code_hash, LOADING, "failed", error)

    def record_source_event(
        self, name: str, kind: str | None, event: str, detail: str | None
    ) -> None:
        """Write a row of `sources`: a source file is `live`, `refused` or `off`."""
        now, detail = self.clock(), None if detail is None else bounded(detail)
        row = {"source": name, "ts": now, "kind": kind, "event": event, "detail": detail}
        rows = pa.Table.from_pylist([row], table("sources").arrow)
        try:
            segment.write(self.folders, rows, segment.Provenance("sources", "runner", now))
        except OSError as error:
            log.error("the event %r of source %s was not written: %s", event, name, error)

    def resume(self, function: Declared) -> None:
        """Let a suspended function run again: the process that runs it reads this in the lake."""
        self._enter(function.name, function.code_hash, "command", RESUMED, None)

    def _enter(
        self, name: str, code_hash: str | None, trigger: str, outcome: str, error: str | None
    ) -> None:
        entry = {
            "run_id": uuid.uuid4().hex, "function": name, "code_hash": code_hash,
            "trigger": trigger, "ts": self.clock(), "outcome": outcome, "error": error,
        }  # fmt: skip
        self.run_log.enter(dict.fromkeys(table("runs").names) | entry)
        self.flush()

    def flush(self) -> None:
        """Write the run log so far to the inbox."""
        self.run_log.flush()

    def _try_write(
        self, function: Declared, result: CallResult, now: datetime, run_id: str
    ) -> str | None:
        """Write the segments; return the error if the disk does not take them."""
        try:
            self._write(function, result, now, run_id)
        except OSError as error:
            return error_text(error)
        return None

    def _write(self, function: Declared, result: CallResult, now: datetime, run_id: str) -> None:
        """Write a segment for each table and each span without a gap; the main table comes last."""
        batch, main = result.batch, next(iter(function.writes), None)
        rows = {name: rows for name, rows in batch.rows.items() if rows.num_rows}
        if main is not None and (batch.cursor is not None or batch.refused):
            rows.setdefault(main, table(main).arrow.empty_table())
        pieces = [
            (name, piece) for name in sorted(rows, key=lambda name: name == main)
            for piece in (split_at_gaps(rows[name]) if name == "metrics" else (rows[name],))
        ]  # fmt: skip
        shared = _values_of(_PROVENANCE, function, result, batch) | {"run_id": run_id}
        for number, (name, piece) in enumerate(pieces, 1):
            own = shared if number == len(pieces) else shared | _ONLY_LAST
            provenance = segment.Provenance(
                table=name, function=function.name, created_at=now, **own
            )
            segment.write(self.folders, piece, provenance)
        if batch.cursor is not None:
            self._cursors[function.name] = batch.cursor

    def _cursor(self, function: Declared) -> str | None:
        """Return where the function's source continues: from memory, the inbox, or the lake.

        Raises LakeUnreadable when only the lake knows: to start without a cursor would fetch again
        all that the source has.
        """
        name = function.name
        if name not in self._cursors:
            waiting = segment.newest_cursor(self.folders, name, self.clock() + MAX_AHEAD)
            cursor = waiting or self._committed_cursor(function)
            origin = "the inbox" if waiting else "the lake"
            log.debug("cursor of %s from %s: %.200s", name, origin if cursor else "nowhere", cursor)
            if cursor is None:
                return None
            self._cursors[name] = cursor
        return self._cursors[name]

    def _committed_cursor(self, function: Declared) -> str | None:
        try:
            now = (self.clock() + MAX_AHEAD).isoformat()
            rows = self.history.rows(HistoryQuery.CURSOR, function=function.name, now=now)
        except LakeUnreadable:
            if function.cursor_required:
                raise
            return None
        return rows[0]["cursor"] if rows else None


def _joined(runs: list[Run]) -> Run:
    """Return the last run, with the rows of all."""
    if len(runs) == 1:
        return runs[0]
    names = dict.fromkeys(name for run in runs for name in run.batch.rows)
    rows = {
        name: pa.concat_tables(run.batch.rows[name] for run in runs if name in run.batch.rows)
        for name in names
    }
    return replace(runs[-1], batch=replace(runs[-1].batch, rows=rows))


def _values_of(names: Iterable[str], *sources: object) -> dict[str, Any]:
    """Return the fields of `sources` that have one of `names`: a new field needs no other edit."""
    return {n: getattr(each, n) for each in sources for n in names if hasattr(each, n)}
