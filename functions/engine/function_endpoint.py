"""The door of the running system: calls that come over the socket, answered as JSON."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

import msgspec

from functions.engine.executors.executor import Executor
from functions.engine.executors.subprocess_executor import SubprocessExecutor, WorkerFactory
from functions.engine.function import Batch, Declared
from functions.engine.function_catalog import FunctionCatalog, UnknownFunction
from functions.engine.runner import Run, Runner
from functions.engine.user_code import UserCode
from storage.ipc.decoding import InvalidJson, decode_json

__all__ = ["FunctionEndpoint", "rows_as_json"]

log = logging.getLogger(__name__)

# More is in the lake, for whoever wants it.
MAX_ROWS = 10_000
STATUS = {"ok": 200, "nothing": 200, "timed out": 504, "stopped": 503}


class FunctionCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which function to run, as of when, and what to hand it."""

    name: str
    now: datetime | None = None
    body: Any = None
    dry_run: bool = False


class FunctionEndpoint:
    """Runs what is asked for."""

    def __init__(self, runner: Runner, worker_factory: WorkerFactory, users: UserCode) -> None:
        self._runner = runner
        self._worker_factory = worker_factory
        self._users = users
        self._catalog = FunctionCatalog(runner.folders, runner.settings, users.entries)

    def answer(self, question: bytes) -> tuple[int, bytes]:
        """Status and body for a question."""
        try:
            asked = decode_json(question, FunctionCall, narrow=True)
        except InvalidJson as error:
            return 400, _error(str(error))
        if asked.now is not None and asked.now.tzinfo is None:
            return 400, _error("now has no zone: write it as 2026-05-06T12:00:00Z")
        log.debug("call of %s as of %s%s", asked.name, asked.now, ", dry" if asked.dry_run else "")
        try:
            with self._found(asked.name) as (function, executor):
                run = self._runner.run_whole(
                    function,
                    "request",
                    asked.now,
                    asked.dry_run,
                    executor=executor,
                    body=asked.body,
                )
        except UnknownFunction as error:
            return 404, _error(str(error))
        self._runner.flush()
        return STATUS.get(run.outcome, 500), _told(run)

    @contextmanager
    def _found(self, name: str) -> Iterator[tuple[Declared, Executor | None]]:
        """A function, by its name or the path of its request, and whose hands it lives in."""
        entry = self._catalog.find(name)
        if entry.source is None:
            yield entry.function, None
            return
        source_worker = self._users.source_worker(entry.source) if entry.source.path else None
        if source_worker is not None and "cursor" in entry.function.needs:
            yield entry.function, source_worker.executor  # where one run ends the next goes on
        elif source_worker is not None:
            with source_worker.pool.one() as executor:
                yield entry.function, executor
        else:
            with closing(SubprocessExecutor(self._worker_factory, entry.source)) as executor:
                yield entry.function, executor


def rows_as_json(batch: Batch) -> dict[str, list[dict[str, Any]]]:
    """The rows of a batch by table, as what JSON has."""
    return {
        name: msgspec.to_builtins(rows.slice(0, MAX_ROWS).to_pylist())
        for name, rows in batch.rows.items()
    }


def _told(run: Run) -> bytes:
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
            "reasons": run.batch.reasons,
        }
    )


def _error(text: str) -> bytes:
    return msgspec.json.encode({"error": text})
