"""Run log: the runs of functions on their way to the lake, and what the next run does after them.

A function that failed five times in a row is suspended. That state is not stored: it follows from
the runs, so that a restart, another process and a person with SQL see the same.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function import Declared
from functions.engine.run_history import HistoryQuery, RunHistory
from storage.config.folders import Folders
from storage.inbox import segment
from storage.model.schema import table
from storage.platform.error_text import bounded

__all__ = [
    "FAILURES",
    "LOADING",
    "NOT_COUNTED",
    "RESUMED",
    "RESUME_AFTER",
    "SUSPEND_AFTER",
    "Entry",
    "FunctionState",
    "RunLog",
    "function_state",
]

log = logging.getLogger(__name__)

SUSPEND_AFTER = 5
RESUME_AFTER = timedelta(minutes=10)
# Outcomes that are the function's own fault …
FAILURES = frozenset({"failed", "crashed", "timed out", "out of memory"})
# … and those where the source or the disk did not answer: they end no series of failures.
NOT_COUNTED = frozenset({"unreachable", "not written"})
# Any other outcome ends a series of failures. Earlier releases wrote "revived" for this one.
RESUMED = "resumed"
# The trigger of a run that stands for loading a source.
LOADING = "its source"
# Runs that are kept in memory while the disk does not take them.
MAX_UNWRITTEN = 10_000
RECENT_RUNS = 50
FLUSH_EVERY_S = 15.0

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FunctionState:
    """Failures in a row, and when a function last ran well and last failed."""

    failures: int = 0
    ran_at: datetime | None = None
    failed_at: datetime | None = None

    @property
    def suspended(self) -> bool:
        """Return True if it only runs every RESUME_AFTER."""
        return self.failures >= SUSPEND_AFTER


class RunLog:
    """The runs of this process that are not in the lake yet; safe to share between threads."""

    def __init__(
        self, folders: Folders, clock: Callable[[], datetime], history: RunHistory
    ) -> None:
        self._folders = folders
        self._clock = clock
        self._history = history
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=MAX_UNWRITTEN)
        self._flushed_at_s = time.monotonic()

    def enter(self, entry: Entry) -> None:
        """Keep a run, a row of `runs`, until the next flush."""
        if entry["error"] is not None:
            entry["error"] = bounded(entry["error"])
        with self._lock:
            self._entries.append(entry)

    def flush(self) -> None:
        """Write the runs so far to the inbox; what the disk does not take is kept for later."""
        with self._lock:
            if not self._entries:
                return
            rows = pa.Table.from_pylist(list(self._entries), table("runs").arrow)
            provenance = segment.Provenance("runs", "runner", self._clock())
            try:
                segment.write(self._folders, rows, provenance)
            except OSError as error:
                log.error("%d runs stay in memory for now: %s", rows.num_rows, error)
                return
            log.debug("%d runs written", rows.num_rows)
            self._entries.clear()

    def flush_if_due(self) -> None:
        """Flush when the last flush is FLUSH_EVERY_S ago; for loops to call in each round."""
        if time.monotonic() - self._flushed_at_s >= FLUSH_EVERY_S:
            self._flushed_at_s = time.monotonic()
            self.flush()

    def runs(
        self, function: str, newest: int = RECENT_RUNS, *, committed: bool = True
    ) -> list[Entry]:
        """Return the newest runs of a function, the newest first; only `committed` needs the lake.

        Runs from when this host's clock was ahead come after the others. Raises LakeUnreadable.
        """
        now = self._clock()
        in_lake = self._committed(function, newest, now) if committed else []
        runs = {entry["run_id"]: entry for entry in in_lake}
        runs |= {e["run_id"]: e for e in self._pending() if e["function"] == function}
        order = sorted(runs.values(), key=lambda run: (run["ts"] <= now, run["ts"]), reverse=True)
        return order[:newest]

    def load_failure(self, source: CodeSource) -> Entry | None:
        """Return the newest run that says that this very text could not be loaded, else None.

        Raises LakeUnreadable.
        """
        match = {"function": source.name, "trigger": LOADING, "code_hash": source.code_hash}
        committed = self._history.rows(
            HistoryQuery.LOAD_FAILURE, **{name: str(value) for name, value in match.items()}
        )
        matching = [entry for entry in self._pending() if match.items() <= entry.items()]
        return max([*committed, *matching], key=lambda entry: entry["ts"], default=None)

    def state(self, function: Declared, *, committed: bool = True) -> FunctionState:
        """Return the state of a function in its present source, by the runs that `runs` gives."""
        now = self._clock()  # a replay of a later time says nothing about the present
        runs = [run for run in self.runs(function.name, committed=committed) if run["ts"] <= now]
        return function_state(function.code_hash, runs)

    def _committed(self, function: str, newest: int, now: datetime) -> list[Entry]:
        return self._history.rows(
            HistoryQuery.RUNS, function=function, newest=newest, now=now.isoformat()
        )

    def _pending(self) -> list[Entry]:
        with self._lock:
            return [*_in_inbox(self._folders), *self._entries]


def function_state(code_hash: str, runs: Sequence[Entry]) -> FunctionState:
    """Return the state of the function whose source has this hash, after `runs`, newest first."""
    own = [run for run in runs if run["code_hash"] == code_hash]
    failed = []
    for run in own:
        if run["outcome"] in NOT_COUNTED:
            continue
        if run["outcome"] not in FAILURES:
            break
        failed.append(run)
    well = [run["ts"] for run in own if run["outcome"] in ("ok", "nothing")]
    return FunctionState(len(failed), max(well, default=None), failed[0]["ts"] if failed else None)


def _in_inbox(folders: Folders) -> Iterable[Entry]:
    """Yield the runs whose segments the writer has not committed yet."""
    for path in folders.inbox.glob("*-runs-*.parquet"):
        try:
            yield from pq.read_table(path).to_pylist()
        except (OSError, pa.ArrowException):  # committed or rejected meanwhile
            continue
