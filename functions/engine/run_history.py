"""Run history: what the lake knows of earlier runs, read in this process or by the engine process.

A process that reads the lake keeps the database engine in memory, which is 100 MB. The collector
has no other use for it, and asks the engine process, which reads the lake all the time.
"""

import asyncio
import logging
import threading
import time
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from storage.config.folders import Folders
from storage.errors import LakeMissing, LakeUnreadable, QueryFailed
from storage.ipc.decoding import InvalidJson, decode_json
from storage.ipc.rpc import NotRunning, call_rpc
from storage.query.shared_reader import SharedReader

__all__ = [
    "EngineRunHistory", "HistoryQuery", "LocalRunHistory", "RunHistory", "RunHistoryEndpoint",
]  # fmt: skip

log = logging.getLogger(__name__)

# The processes start at the same time; a restart of the engine takes as long.
ENGINE_STARTS_WITHIN_S = 10.0
POLL_S = 0.1
ANSWER_WITHIN_S = 30.0
# Functions that ask one after the other must not each wait for a server that does not answer.
UNREADABLE_FOR_S = 2.0

Rows = list[dict[str, Any]]


class HistoryQuery(StrEnum):
    """What can be asked of the lake about earlier runs."""

    RUNS = "runs"  # the `newest` runs of `function` as of `now`, the newest first
    LOAD_FAILURE = "load_failure"  # the newest run of this function, trigger and code hash
    CURSOR = "cursor"  # the cursor of the newest segment of `function` that has one, as of `now`
    DUE_TRAINING = "due_training"  # the training that is due or was cut off, and its newest event


# What was written while this host's clock was ahead comes last, until its time has come: the newest
# of it would hide all that came since.
_SQL = {
    HistoryQuery.RUNS: "SELECT * FROM runs WHERE function = $function "
    "ORDER BY ts > CAST($now AS TIMESTAMPTZ), ts DESC LIMIT $newest",
    HistoryQuery.LOAD_FAILURE: "SELECT * FROM runs WHERE function = $function "
    "AND trigger = $trigger AND code_hash = $code_hash ORDER BY ts DESC LIMIT 1",
    HistoryQuery.CURSOR: "SELECT cursor FROM segments WHERE function = $function "
    "AND cursor IS NOT NULL "
    "ORDER BY created_at > CAST($now AS TIMESTAMPTZ), created_at DESC LIMIT 1",
    HistoryQuery.DUE_TRAINING: "SELECT training, arg_max(event, ts) AS event FROM trainings "
    "GROUP BY training HAVING arg_max(event, ts) IN ('due', 'started', 'progress', 'unable') "
    "AND coalesce(arg_max(cause, ts), '') != 'command' ORDER BY max(ts) DESC LIMIT 1",
}


class RunHistory(Protocol):
    """Answers queries about earlier runs; safe to share between threads."""

    def rows(self, query: HistoryQuery, **parameters: str | int) -> Rows:
        """Return the rows of a query; none while there is no lake. Raises LakeUnreadable."""
        ...


class LocalRunHistory:
    """Reads the lake in this process; with `keep_open=False` the reader closes after each query."""

    def __init__(self, reader: SharedReader, *, keep_open: bool = True) -> None:
        self._reader = reader
        self._keep_open = keep_open

    def rows(self, query: HistoryQuery, **parameters: str | int) -> Rows:
        """Return the rows of a query; none while there is no lake. Raises LakeUnreadable."""
        try:
            with self._reader.use() as reader:
                return list(reader.query(_SQL[query], **parameters).to_pylist())
        except LakeMissing:
            return []
        except QueryFailed as error:
            if not error.retryable:
                raise
            raise LakeUnreadable(error.message, error.remedy) from error
        finally:
            if not self._keep_open:
                self._reader.close()


class HistoryQuestion(msgspec.Struct, frozen=True):
    """A query and its parameters, as they travel."""

    query: HistoryQuery
    parameters: dict[str, str | int]


class Unreadable(msgspec.Struct, frozen=True):
    """A LakeUnreadable, as it travels."""

    message: str
    remedy: str | None


class RunHistoryEndpoint:
    """Answers the queries of other processes."""

    def __init__(self, history: RunHistory) -> None:
        self._history = history

    def answer(self, question: bytes) -> tuple[int, bytes]:
        """Return 200 with the rows, 503 with an Unreadable, or 400; the bodies are MessagePack."""
        try:
            request = decode_json(question, HistoryQuestion)
        except InvalidJson as error:
            return 400, msgspec.msgpack.encode(str(error))
        try:
            rows = self._history.rows(request.query, **request.parameters)
        except LakeUnreadable as error:
            return 503, msgspec.msgpack.encode(Unreadable(error.message, error.remedy))
        return 200, msgspec.msgpack.encode(rows)


class EngineRunHistory:
    """Asks the engine process of the same data folder.

    Where none answers within ENGINE_STARTS_WITHIN_S, the `fallback` is used, by default a reader
    that is open for one query; then the engine is tried again at each query, without a wait.
    """

    def __init__(
        self,
        folders: Folders,
        fallback: RunHistory | None = None,
        engine_starts_within_s: float = ENGINE_STARTS_WITHIN_S,
    ) -> None:
        self._socket = folders.history
        self._fallback = fallback or LocalRunHistory(SharedReader(folders.data), keep_open=False)
        self._lock = threading.Lock()
        self._patience_s = self._engine_starts_within_s = engine_starts_within_s
        self._unreadable: LakeUnreadable | None = None
        self._unreadable_until = 0.0  # monotonic time

    def rows(self, query: HistoryQuery, **parameters: str | int) -> Rows:
        """Return the rows of a query; none while there is no lake. Raises LakeUnreadable."""
        with self._lock:
            if self._unreadable is not None and time.monotonic() < self._unreadable_until:
                raise LakeUnreadable(self._unreadable.message, self._unreadable.remedy)
            self._unreadable = None
            try:
                return self._rows(query, parameters)
            except LakeUnreadable as error:
                self._unreadable = error
                self._unreadable_until = time.monotonic() + UNREADABLE_FOR_S
                raise

    def _rows(self, query: HistoryQuery, parameters: dict[str, str | int]) -> Rows:
        try:
            status, body = self._answer(HistoryQuestion(query, parameters))
        except NotRunning as error:
            self._patience_s = 0.0
            log.debug("earlier runs are read in this process: %s", error)
            return self._fallback.rows(query, **parameters)
        self._patience_s = self._engine_starts_within_s
        if status == 503:
            unreadable = msgspec.msgpack.decode(body, type=Unreadable)
            raise LakeUnreadable(unreadable.message, unreadable.remedy)
        if status != 200:
            log.warning("the engine answered %d: earlier runs are read in this process", status)
            return self._fallback.rows(query, **parameters)
        return msgspec.msgpack.decode(body, type=Rows)

    def _answer(self, question: HistoryQuestion) -> tuple[int, bytes]:
        give_up = time.monotonic() + self._patience_s
        call = msgspec.json.encode(question)
        while True:
            try:
                return asyncio.run(asyncio.wait_for(call_rpc(self._socket, call), ANSWER_WITHIN_S))
            except TimeoutError as error:
                raise LakeUnreadable(
                    "the lake does not answer", "see whether its catalog's server runs"
                ) from error
            except NotRunning:
                if time.monotonic() >= give_up:
                    raise
            time.sleep(POLL_S)
