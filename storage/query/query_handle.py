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

    def __init__(self, cursor: duckdb.DuckDBPyConnection, work: Callable[[], pa.Table]) -> None:
        self._cursor = cursor
        self._cursor.execute(MEASURED)
        self._future: Future[pa.Table] = Future()
        self._thread = threading.Thread(target=self._go, args=(work,), daemon=True, name="query")
        self._thread.start()

    def rows(self, within_s: float | None = None) -> pa.Table:
        """All rows, or TimeoutError when they are not there in time; raises QueryFailed."""
        return self._future.result(within_s)

    @property
    def share(self) -> float | None:
        """How much of the work is done, 0 to 1; None while the engine cannot tell."""
        percent = self._cursor.query_progress()
        return percent / 100 if percent >= 0 else None

    def __enter__(self) -> "QueryHandle":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._thread.is_alive():
            self._cursor.interrupt()
            self._thread.join(AGAIN_S)
        self._cursor.close()

    def _go(self, work: Callable[[], pa.Table]) -> None:
        try:
            self._future.set_result(work())
        except Exception as error:  # whoever asks for the rows gets it
            self._future.set_exception(error)
