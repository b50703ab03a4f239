"""Function endpoint: runs a function for a call over the RPC socket, and answers in JSON."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

import msgspec

from functions.engine.call_queue import CallQueue, TooManyCalls
from functions.engine.executors.executor import Executor
from functions.engine.executors.subprocess_executor import SubprocessExecutor, WorkerFactory
from functions.engine.function import Batch, Declared
from functions.engine.function_catalog import FunctionCatalog, UnknownFunction
from functions.engine.runner import Run, Runner
from functions.engine.user_code import UserCode
from storage.ipc.decoding import InvalidJson, decode_json

__all__ = ["FunctionEndpoint", "rows_as_json"]

log = logging.getLogger(__name__)

# The reply holds so many rows of each table; all of them are in the lake.
MAX_ROWS = 10_000
STATUS = {"ok": 200, "nothing": 200, "timed out": 504, "stopped": 503}


class FunctionCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The function to run, by name or request path, as of when, and with what body."""

    name: str
    now: datetime | None = None
    body: Any = None
    dry_run: bool = False


class FunctionEndpoint:
    """Answers calls of functions; safe to share between threads."""

    def __init__(self, runner: Runner, worker_factory: WorkerFactory, users: UserCode) -> None:
        self._runner = runner
        self._worker_factory = worker_factory
        self._users = users
        self._queue = CallQueue()
        self._catalog = FunctionCatalog(runner.folders, runner.settings, users.entries)

    def answer(self, question: bytes) -> tuple[int, bytes]:
        """Return the HTTP status and the JSON body for a FunctionCall in JSON."""
        try:
            call = decode_json(question, FunctionCall, narrow=True)
        except InvalidJson as error:
            return 400, _error(str(error))
        if call.now is not None and call.now.tzinfo is None:
            return 400, _error("now has no time zone: write it as 2026-05-06T12:00:00Z")
        log.debug("call of %s as of %s%s", call.name, call.now, ", dry" if call.dry_run else "")
        try:
            with self._queue.turn(), self._executor(call.name) as (function, executor):
                run = self._runner.run_whole(
                    function, "request", call.now, call.dry_run, executor=executor, body=call.body
                )
        except UnknownFunction as error:
            return 404, _error(str(error))
        except TooManyCalls as error:
            return 503, _error(str(error))
        self._runner.flush()
        return STATUS.get(run.outcome, 500), _run_as_json(run)

    @contextmanager
    def _executor(self, name: str) -> Iterator[tuple[Declared, Executor | None]]:
        """A function, by its name or request path, and its executor; None: in this process."""
        entry = self._catalog.find(name)
        if entry.source is None:
            yield entry.function, None
            return
        source_worker = self._users.source_worker(entry.source) if entry.source.path else None
        if source_worker is not None and "cursor" in entry.function.needs:
            yield entry.function, source_worker.executor  # each run continues where the last ended
        elif source_worker is not None:
            with source_worker.pool.one() as executor:
                yield entry.function, executor
        else:
            with closing(SubprocessExecutor(self._worker_factory, entry.source)) as executor:
                yield entry.function, executor


def rows_as_json(batch: Batch) -> dict[str, list[dict[str, Any]]]:
    """Return up to MAX_ROWS rows of each table of a batch, as values that JSON has."""
    return {
        name: msgspec.to_builtins(rows.slice(0, MAX_ROWS).to_pylist())
        for name, rows in batch.rows.items()
    }


def _run_as_json(run: Run) -> bytes:
    return msgspec.json.encode(
        {
            "function": run.function,
            "run_id": run.entry["run_id"],
            "outcome": run.outcome,
            "error": run.error,
            "duration_ms": run.entry["duration_ms"],
            "row_counts": {name: rows.num_rows for name, rows in run.batch.rows.items()},
            "rows": rows_as_json(run.batch),
            "refused": run.batch.refused,
            "clamped": run.batch.clamped,
            "reasons": run.batch.reasons,
            "answer": run.batch.answer,
        }
    )


def _error(text: str) -> bytes:
    return msgspec.json.encode({"error": text})
