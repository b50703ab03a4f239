"""What the lake knows of earlier runs: asked in this process, or in one that ends soon after.

Who asks a lake keeps its engine in memory, 100 MB that a process has no other use for that only
starts children and writes what they bring.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from functions.engine.executors.executor import CallRequest, RunStopped
from functions.engine.executors.subprocess_executor import (
    LoadFailed,
    SubprocessExecutor,
    WorkerFactory,
)
from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function import Batch, function
from functions.engine.triggers import request
from storage.errors import LakeMissing, LakeUnreadable, QueryFailed
from storage.platform.threads import SupervisedThread
from storage.query.shared_reader import SharedReader

if TYPE_CHECKING:  # else whoever names this module would load the engine
    from functions.engine.window import Window

__all__ = ["Elsewhere", "Here", "RunHistory"]

log = logging.getLogger(__name__)

RESTS_AFTER_S = 10.0
# Those who ask one after the other must not each wait for a server that does not answer.
UNREADABLE_FOR_S = 2.0

Rows = list[dict[str, Any]]


class RunHistory(Protocol):
    """Whoever can be asked about earlier runs."""

    def rows(self, sql: str, **parameters: str | int) -> Rows:
        """The rows of one SELECT; none when there is no lake yet. Raises LakeUnreadable."""
        ...


class Here:
    """Asks a reader of this process."""

    def __init__(self, reader: SharedReader) -> None:
        self._reader = reader

    def rows(self, sql: str, **parameters: str | int) -> Rows:
        """The rows of one SELECT; none when there is no lake yet. Raises LakeUnreadable."""
        try:
            with self._reader.use() as reader:
                return list(reader.query(sql, **parameters).to_pylist())
        except LakeMissing:
            return []
        except QueryFailed as error:
            if not error.retryable:
                raise
            raise LakeUnreadable(error.message, error.remedy) from error


class Elsewhere:
    """Asks in a child, which goes when it has not been asked for a while; the thread-safe way.

    Where no child can be had, the question is asked `otherwise`.
    """

    def __init__(
        self,
        worker_factory: WorkerFactory,
        clock: Callable[[], datetime],
        otherwise: RunHistory,
        rests_after_s: float = RESTS_AFTER_S,
    ) -> None:
        self._worker_factory, self._clock, self._otherwise = worker_factory, clock, otherwise
        self._lock = threading.Lock()
        self._child: SubprocessExecutor | None = None
        self._rests_after_s = rests_after_s
        self._idle_since = 0.0  # monotonic time
        self._closed = threading.Event()
        self._unreadable: LakeUnreadable | None = None  # as of the last question

    def rows(self, sql: str, **parameters: str | int) -> Rows:
        """The rows of one SELECT; none when there is no lake yet. Raises LakeUnreadable."""
        with self._lock:
            just_now = time.monotonic() - self._idle_since < UNREADABLE_FOR_S
            if self._unreadable is not None and just_now:
                raise LakeUnreadable(self._unreadable.message, self._unreadable.remedy)
            self._unreadable = None
            try:
                return self._asked({"sql": sql, "parameters": parameters})
            except (RunStopped, LoadFailed) as error:
                raised = error.raised if isinstance(error, RunStopped) else None
                if raised is not None and raised.is_a(LakeMissing):
                    return []
                unreadable = _unreadable(error)
                if unreadable is not None:
                    self._unreadable = unreadable
                    raise unreadable from error
                log.warning("earlier runs are looked up in this process: %s", error)
            finally:
                self._idle_since = time.monotonic()
        return self._otherwise.rows(sql, **parameters)

    def close(self) -> None:
        """End the child, until the next question."""
        with self._lock:
            self._end_child()

    def _end_child(self) -> None:
        self._closed.set()
        if self._child is not None:
            self._child.close()
            self._child = None

    def _end_child_when_idle(self, closed: threading.Event) -> None:
        """Watch one child until it has not been asked for a while, or was ended."""
        while not closed.wait(self._rests_after_s / 2):
            with self._lock:
                idle_s = time.monotonic() - self._idle_since
                if not closed.is_set() and idle_s >= self._rests_after_s:
                    self._end_child()

    def _asked(self, body: dict[str, Any]) -> Rows:
        if self._child is None:
            log.debug("a child is started to read earlier runs")
            self._child = SubprocessExecutor(self._worker_factory, CodeSource(module=__name__))
            self._idle_since, self._closed = time.monotonic(), threading.Event()
            watch = partial(self._end_child_when_idle, self._closed)
            SupervisedThread("idle child", watch, self._closed).start()
        declared = self._child.load().functions[0]
        batch = self._child.call(declared, CallRequest(self._clock(), None, (), body)).batch
        return list(batch.rows["runs"].to_pylist())


def _unreadable(error: RunStopped | LoadFailed) -> LakeUnreadable | None:
    """The error when it was the lake that did not answer."""
    if not isinstance(error, RunStopped):
        return None
    if error.raised is not None and error.raised.retryable:
        return LakeUnreadable(error.raised.message, error.raised.remedy)
    if error.outcome == "timed out":
        return LakeUnreadable("the lake does not answer", "see whether its catalog's server runs")
    return None


@function(on=request(), writes="runs")
def past(window: "Window", body: Any) -> Batch:
    """What a SELECT about earlier runs brings; it is called by `Elsewhere` alone."""
    return Batch({"runs": window.sql(body["sql"], **body["parameters"])})
