"""A query on its way, in a thread of its own: how far it is, its rows, an end before its time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType

import duckdb
import pyarrow as pa

__all__ = ["QueryHandle"]

MEASURED = (
    "SET enable_progress_bar = true; SET enable_progress_bar_print = false; "
    "SET progress_bar_time = 0"
)
# An interrupt that comes before the engine has begun is lost: it is sent until it is heard.
AGAIN_S = 0.02


class QueryHandle:
    """A query that runs while the caller looks on; leaving the context ends it."""

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        work: Callable[[], pa.Table],
        release: Callable[[], None],
    ) -> None:
        self._closed = False
        self._cursor, self._release = cursor, release
        self._cursor.execute(MEASURED)
        self._future: Future[pa.Table] = Future()
        # It does not know this object, which goes, and ends the query, when nobody has it.
        self._thread = threading.Thread(
            target=_run, args=(work, self._future), daemon=True, name="query"
        )
        try:
            self._thread.start()
        except BaseException:  # Ctrl-C comes here too
            self.close()
            raise

    def rows(self, timeout_s: float | None = None) -> pa.Table:
        """All rows, or TimeoutError when they are not there in time; raises QueryFailed."""
        return self._future.result(timeout_s)

    @property
    def progress(self) -> float | None:
        """How much of the work is done, 0 to 1; None while the engine cannot tell."""
        percent = self._cursor.query_progress()
        return percent / 100 if percent >= 0 else None

    def interrupt(self) -> None:
        """End the query; without effect before the engine has begun it, so repeat until it ends."""
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
        except BaseException:  # a second Ctrl-C is not to leave the query alone
            ending = (self._thread, self._cursor)
            threading.Thread(target=_end, args=ending, daemon=True, name="query end").start()
            raise
        self._release()


def _run(work: Callable[[], pa.Table], future: "Future[pa.Table]") -> None:
    try:
        future.set_result(work())
    except Exception as error:  # whoever asks for the rows gets it
        future.set_exception(error)


def _end(thread: threading.Thread, cursor: duckdb.DuckDBPyConnection) -> None:
    while thread.is_alive():
        cursor.interrupt()
        thread.join(AGAIN_S)
