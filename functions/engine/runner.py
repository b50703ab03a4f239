"""Runs one function: hands it what it names, puts its rows in the inbox, keeps the ledger."""

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from functions.engine.executors.executor import (
    CallRequest,
    CallResult,
    Cost,
    CostMeter,
    Executor,
    InProcessExecutor,
    RunStopped,
    error_text,
    outcome_of,
)
from functions.engine.executors.worker_protocol import CodeSource, Raised
from functions.engine.function import Batch, Declared
from functions.engine.gaps import split_at_gaps
from functions.engine.run_history import HistoryQuery, LocalRunHistory, RunHistory
from functions.engine.run_log import FAILURES, LOADING, RunLog
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.errors import LakeMissing, LakeUnreadable
from storage.inbox import segment
from storage.model.schema import table
from storage.platform import logs
from storage.platform.error_text import bounded

__all__ = ["Run", "Runner"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what came out, or what went wrong."""

    function: str
    batch: Batch
    entry: dict[str, Any]
    raised: Raised | None = None  # the error of ours that ended it, if one did

    @property
    def outcome(self) -> str:
        """How it ended: `ok`, `nothing`, or one of the ways to fail that `runs` knows."""
        return str(self.entry["outcome"])

    @property
    def error(self) -> str | None:
        """What went wrong, in words."""
        error: str | None = self.entry["error"]
        return error

    @property
    def waits(self) -> bool:
        """Whether there was only nothing to run on yet, or the system stops: that is no news."""
        lake_missing = self.raised is not None and self.raised.is_a(LakeMissing)
        return self.outcome == "stopped" or lake_missing

    @property
    def waits_for_lake(self) -> bool:
        """Whether it could not run because the lake cannot be read."""
        return self.raised is not None and self.raised.is_a(LakeUnreadable)

    @property
    def is_fault(self) -> bool:
        """Whether the function itself is to blame."""
        return self.outcome in FAILURES and not self.waits


class Runner:
    """Runs functions against one data folder; may be shared between threads.

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
        self._in_place = InProcessExecutor(folders, settings)
        self._cursors: dict[str, str] = {}
        self.history = history or LocalRunHistory(self._in_place.reader)
        self.ledger = RunLog(folders, clock, self.history)

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

        Without `hands` it is called in this process. What it raises becomes the run's error: one
        function cannot hurt the rest.
        """
        run_id = uuid.uuid4().hex
        asked = CallRequest(now or self.clock(), None, paths, body)
        with logs.during_run(run_id):
            log.debug("run of %s as of %s (%s)", function.name, asked.now, trigger)
            run = self._run(function, {"run_id": run_id, "trigger": trigger}, asked, dry, executor)
            log.debug(
                "%s %s after %.0f ms: %d rows in, %d out, %.2f s of CPU, snapshot %s%s",
                run.function, run.outcome, run.entry["duration_ms"], run.entry["rows_in"],
                run.entry["rows_out"], run.entry["cpu_s"], run.entry["input_snapshot"],
                ", more to come" if run.batch.more else "",
            )  # fmt: skip
        return run

    def _run(
        self,
        function: Declared,
        told: dict[str, Any],
        asked: CallRequest,
        dry: bool,
        executor: Executor | None,
    ) -> Run:
        now, began, meter = asked.now, time.perf_counter(), CostMeter()
        thrown: Raised | None = None
        try:
            cursor = self._cursor(function) if "cursor" in function.needs else None
            answer = (executor or self._in_place).call(function, replace(asked, cursor=cursor))
            error = None if dry else self._put_away(function, answer, now)
            outcome = "not written" if error else ("ok" if answer.batch.row_count else "nothing")
        except RunStopped as stopped:
            answer, thrown = CallResult(Batch(), cost=stopped.cost), stopped.raised
            outcome, error = stopped.outcome, str(stopped)
        except Exception as raised:  # a function is foreign code and may raise anything
            answer, thrown = CallResult(Batch()), Raised.of(raised)
            outcome, error = outcome_of(raised), error_text(raised)
        told |= {"ts": now, "outcome": outcome, "error": None if error is None else bounded(error)}
        took_ms = 1000 * (time.perf_counter() - began)
        run = Run(
            function.name, answer.batch,
            told | _entry(function, answer, answer.cost or meter.cost(), took_ms), thrown,
        )  # fmt: skip
        if not dry and not run.waits:
            self.ledger.enter(run.entry)
        return run

    def run_whole(
        self,
        function: Declared,
        trigger: str,
        now: datetime | None = None,
        dry: bool = False,
        **given: Any,
    ) -> Run:
        """Run it again while it has more to do, and tell it as one run; `dry` is the first part.

        Takes what `run` takes. The rows of all parts are held together.
        """
        now = now or self.clock()
        runs = [self.run(function, trigger, now, dry, **given)]
        while runs[-1].batch.more and runs[-1].error is None and not dry:
            runs.append(self.run(function, trigger, now, **given))
        return _whole(runs)

    def failed_to_load(self, source: CodeSource, error: str) -> None:
        """Enter into the ledger that a source cannot be loaded, and why."""
        error = bounded(error)
        log.error("%s cannot be loaded: %s", source.name, error)
        self._note(source.name, source.code_hash, LOADING, "failed", error)

    def tell_of_source(self, name: str, kind: str | None, event: str, detail: str | None) -> None:
        """Write down that a source file is `live`, `refused` or `off`."""
        now, detail = self.clock(), None if detail is None else bounded(detail)
        row = {"source": name, "ts": now, "kind": kind, "event": event, "detail": detail}
        rows = pa.Table.from_pylist([row], table("sources").arrow)
        try:
            segment.write(self.folders, rows, segment.Provenance("sources", "runner", now))
        except OSError as error:
            log.error("that %s is %s cannot be written down: %s", name, event, error)

    def revive(self, function: Declared) -> None:
        """Let a parked function run again: whoever runs it finds this in the ledger."""
        self._note(function.name, function.code_hash, "command", "revived", None)

    def _note(
        self, name: str, code_hash: str | None, trigger: str, outcome: str, error: str | None
    ) -> None:
        entry = {
            "run_id": uuid.uuid4().hex, "function": name, "code_hash": code_hash,
            "trigger": trigger, "ts": self.clock(), "outcome": outcome, "error": error,
        }  # fmt: skip
        self.ledger.enter(dict.fromkeys(table("runs").names) | entry)
        self.flush()

    def flush(self) -> None:
        """Put the ledger of the runs so far into the inbox."""
        self.ledger.flush()

    def _put_away(self, function: Declared, answer: CallResult, now: datetime) -> str | None:
        """Write the segments; in words what the disk said when it did not take them."""
        try:
            self._write(function, answer.batch, answer.snapshot, now)
        except OSError as error:
            return error_text(error)
        return None

    def _write(self, function: Declared, batch: Batch, snapshot: int | None, now: datetime) -> None:
        """A segment a table and stretch of time; the main table's last alone carries the cursor."""
        main = function.writes[0]
        rows = {name: rows for name, rows in batch.rows.items() if rows.num_rows}
        if batch.cursor is not None or batch.refused:
            rows.setdefault(main, table(main).arrow.empty_table())
        pieces = [
            (name, piece) for name in sorted(rows, key=lambda name: name == main)
            for piece in (split_at_gaps(rows[name]) if name == "metrics" else (rows[name],))
        ]  # fmt: skip
        for number, (name, piece) in enumerate(pieces, 1):
            last = number == len(pieces)
            told = segment.Provenance(
                table=name,
                function=function.name,
                created_at=now,
                code_hash=function.code_hash,
                window_key=batch.window_key,
                cursor=batch.cursor if last else None,
                input_snapshot=snapshot,
                model=batch.model,
                refused=batch.refused if last else 0,
                reasons=batch.reasons if last else (),
            )
            segment.write(self.folders, piece, told)
        if batch.cursor is not None:
            self._cursors[function.name] = batch.cursor

    def _cursor(self, function: Declared) -> str | None:
        """Where the function's source goes on: as remembered, in the inbox, or in the ledger.

        Raises LakeUnreadable when only the ledger can tell and cannot be read: to begin without a
        cursor would fetch again all that the source has.
        """
        name = function.name
        if name not in self._cursors:
            waiting = segment.newest_cursor(self.folders, name)
            found = waiting or self._committed_cursor(function)
            origin = "the inbox" if waiting else "the lake"
            log.debug("cursor of %s from %s: %.200s", name, origin if found else "nowhere", found)
            if found is None:
                return None
            self._cursors[name] = found
        return self._cursors[name]

    def _committed_cursor(self, function: Declared) -> str | None:
        try:
            rows = self.history.rows(HistoryQuery.CURSOR, function=function.name)
        except LakeUnreadable:
            if function.cursor_required:
                raise
            return None
        return rows[0]["cursor"] if rows else None


def _whole(runs: list[Run]) -> Run:
    """The last run, with the rows of all."""
    if len(runs) == 1:
        return runs[0]
    names = dict.fromkeys(name for run in runs for name in run.batch.rows)
    rows = {
        name: pa.concat_tables(run.batch.rows[name] for run in runs if name in run.batch.rows)
        for name in names
    }
    return replace(runs[-1], batch=replace(runs[-1].batch, rows=rows))


def _entry(function: Declared, answer: CallResult, cost: Cost, took_ms: float) -> dict[str, Any]:
    return {
        "function": function.name,
        "code_hash": function.code_hash,
        "window_key": answer.batch.window_key,
        "input_snapshot": answer.snapshot,
        "rows_in": answer.rows_in,
        "rows_out": answer.batch.row_count,
        "duration_ms": took_ms,
        "cpu_s": cost.cpu_s,
        "peak_rss_mb": cost.peak_rss_mb,
    }
