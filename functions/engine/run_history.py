"""What the lake knows of earlier runs: asked in this process, or in one that ends soon after.

Who asks a lake keeps its engine in memory, 100 MB that a process has no other use for that only
starts children and writes what they bring.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
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

if TYPE_CHECKING:  # else whoever names this module would load the engine
    from functions.engine.window import Window
    from storage.query.reader import Reader

__all__ = ["Elsewhere", "Here", "RunHistory"]

log = logging.getLogger(__name__)

RESTS_AFTER_S = 10.0
NO_LAKE = "LakeMissing: "

Rows = list[dict[str, Any]]


class RunHistory(Protocol):
    """Whoever can be asked about earlier runs."""

    def rows(self, sql: str, **parameters: str | int) -> Rows:
        """The rows of one SELECT; none when there is no lake yet."""
        ...


class Here:
    """Asks a reader of this process."""

    def __init__(self, open_reader: Callable[[], "Reader"]) -> None:
        self._open_reader = open_reader

    def rows(self, sql: str, **parameters: str | int) -> Rows:
        """The rows of one SELECT; none when there is no lake yet."""
        from storage.query.reader import LakeMissing

        try:
            reader = self._open_reader()
        except LakeMissing:
            return []
        return list(reader.query(sql, **parameters).to_pylist())


class Elsewhere:
    """Asks in a child, which goes when it has not been asked for a while; the thread-safe way.

    Where no child can be had, the question is asked `otherwise`.
    """

    def __init__(
        self, worker_factory: WorkerFactory, clock: Callable[[], datetime], otherwise: RunHistory
    ) -> None:
        self._worker_factory, self._clock, self._otherwise = worker_factory, clock, otherwise
        self._lock = threading.Lock()
        self._child: SubprocessExecutor | None = None
        self._rest = threading.Timer(0, self.close)

    def rows(self, sql: str, **parameters: str | int) -> Rows:
        """The rows of one SELECT; none when there is no lake yet."""
        with self._lock:
            self._rest.cancel()
            try:
                return self._asked({"sql": sql, "parameters": parameters})
            except (RunStopped, LoadFailed) as error:
                if str(error).startswith(NO_LAKE):
                    return []
                log.warning("earlier runs are looked up in this process: %s", error)
            finally:
                self._rest = threading.Timer(RESTS_AFTER_S, self.close)
                self._rest.daemon = True
                self._rest.start()
        return self._otherwise.rows(sql, **parameters)

    def close(self) -> None:
        """End the child, until the next question."""
        with self._lock:
            self._rest.cancel()
            if self._child is not None:
                self._child.close()
                self._child = None

    def _asked(self, body: dict[str, Any]) -> Rows:
        if self._child is None:
            log.debug("a child is started to read earlier runs")
            self._child = SubprocessExecutor(self._worker_factory, CodeSource(module=__name__))
        declared = self._child.load().functions[0]
        batch = self._child.call(declared, CallRequest(self._clock(), None, (), body)).batch
        return list(batch.rows["runs"].to_pylist())


@function(on=request(), writes="runs")
def past(window: "Window", body: Any) -> Batch:
    """What a SELECT about earlier runs brings; it is called by `Elsewhere` alone."""
    return Batch({"runs": window.sql(body["sql"], **body["parameters"])})
