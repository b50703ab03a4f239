"""Query handle: a query that runs in its own thread, with its progress, result and cancellation."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType

import duckdb
import pyarrow as pa

__all__ = ["QueryHandle"]

ENABLE_PROGRESS = (
    "SET enable_progress_bar = true; SET enable_progress_bar_print = false; "
    "SET progress_bar_time = 0"
)
# An interrupt before the engine has begun is lost, so it is repeated until the query has ended.
INTERRUPT_EVERY_S = 0.02


class QueryHandle:
    """A running query; leaving the context ends it."""

    # Of the class, for a Ctrl-C before the first line of __init__: there is nothing to end then.
    _closed = True

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        work: Callable[[], pa.Table],
        release: Callable[[], None],
    ) -> None:
        self._cursor, self._release = cursor, release
        self._cursor.execute(ENABLE_PROGRESS)
        self._future: Future[pa.Table] = Future()
        # The thread has no reference to this object, so that its __del__ can end the query.
        self._thread = threading.Thread(
            target=_run, args=(work, self._future), daemon=True, name="query"
        )
        self._closed = False
        try:
            self._thread.start()
        except BaseException:  # KeyboardInterrupt too
            self._future.cancel()  # a thread that is still to begin
            self.close()
            raise

    def rows(self, timeout_s: float | None = None) -> pa.Table:
        """The result. Raises TimeoutError after `timeout_s`, and QueryFailed."""
        return self._future.result(timeout_s)

    @property
    def progress(self) -> float | None:
        """Progress from 0 to 1; None while the engine does not know it."""
        percent = self._cursor.query_progress()
        return percent / 100 if percent >= 0 else None

    def interrupt(self) -> None:
        """Interrupt the query; no effect before the engine has begun it, so repeat it."""
        self._cursor.interrupt()

    def __enter__(self) -> "QueryHandle":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed:
            self.close()

    def close(self) -> None:
        """End the query and wait until it has ended."""
        self._closed = True
        try:
            _end(self._thread, self._cursor)
        except BaseException:  # a second Ctrl-C must not leave the query running
            query = (self._thread, self._cursor)
            threading.Thread(target=_end, args=query, daemon=True, name="query end").start()
            raise
        self._release()


def _run(work: Callable[[], pa.Table], future: "Future[pa.Table]") -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except Exception as error:  # raised again where the rows are read
        future.set_exception(error)


def _end(thread: threading.Thread, cursor: duckdb.DuckDBPyConnection) -> None:
    while thread.is_alive():
        cursor.interrupt()
        thread.join(INTERRUPT_EVERY_S)
