"""The ledger of runs: how it is written, and what follows from it for the next run.

A function that failed five times in a row is parked. That is never written down as a state: it
follows from the ledger, so that a restart, another process and a person with SQL see the same.
"""

import logging
import threading
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
    "RESUME_AFTER",
    "SUSPEND_AFTER",
    "FunctionState",
    "RunLog",
    "function_state",
]

log = logging.getLogger(__name__)

SUSPEND_AFTER = 5
RESUME_AFTER = timedelta(minutes=10)
# The function's own fault; that a source or the disk does not answer is not.
FAILURES = frozenset({"failed", "crashed", "timed out", "out of memory"})
PARDONED = frozenset({"unreachable", "not written"})
# The trigger of a run that stands for loading a source.
LOADING = "its source"
# A ledger that cannot be written is kept in memory up to here.
MAX_UNWRITTEN = 10_000
LOOK_BACK_RUNS = 50
FLUSH_EVERY = timedelta(seconds=15)

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FunctionState:
    """How a function fares: failures in a row, and when it last ran well and last failed."""

    failures: int = 0
    ran_at: datetime | None = None
    failed_at: datetime | None = None

    @property
    def parked(self) -> bool:
        """Whether it is left alone but for a try now and then."""
        return self.failures >= SUSPEND_AFTER


class RunLog:
    """The runs of this process on their way to the lake; may be shared between threads."""

    def __init__(
        self,
        folders: Folders,
        clock: Callable[[], datetime],
        history: RunHistory,
    ) -> None:
        self._folders = folders
        self._clock = clock
        self._history = history
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=MAX_UNWRITTEN)
        self._flushed_at = clock()

    def enter(self, entry: Entry) -> None:
        """Remember a run until the next flush."""
        if entry["error"] is not None:
            entry["error"] = bounded(entry["error"])
        with self._lock:
            self._entries.append(entry)

    def flush(self) -> None:
        """Put the runs so far into the inbox; what the disk does not take now stays for later."""
        with self._lock:
            if not self._entries:
                return
            rows = pa.Table.from_pylist(list(self._entries), table("runs").arrow)
            told = segment.Provenance(table="runs", function="runner", created_at=self._clock())
            try:
                segment.write(self._folders, rows, told)
            except OSError as error:
                log.error("the ledger of runs stays in memory for now: %s", error)
                return
            log.debug("%d runs written", rows.num_rows)
            self._entries.clear()

    def flush_now_and_then(self) -> None:
        """Flush when the last time is a while ago; for loops to call in each round."""
        if self._clock() - self._flushed_at >= FLUSH_EVERY:
            self._flushed_at = self._clock()
            self.flush()

    def runs(
        self, function: str, newest: int = LOOK_BACK_RUNS, *, committed: bool = True
    ) -> list[Entry]:
        """The newest runs of a function, the newest first; only `committed` ones need the lake.

        Raises LakeUnreadable.
        """
        in_lake = self._committed(function, newest) if committed else []
        found = {entry["run_id"]: entry for entry in in_lake}
        with self._lock:
            pending = [*_waiting(self._folders), *self._entries]
        found |= {entry["run_id"]: entry for entry in pending if entry["function"] == function}
        return sorted(found.values(), key=lambda entry: entry["ts"], reverse=True)[:newest]

    def load_failure(self, source: CodeSource) -> Entry | None:
        """Return the newest run that says that this very text could not be loaded, else None."""
        match = {"function": source.name, "trigger": LOADING, "code_hash": source.code_hash}
        committed = self._history.rows(
            HistoryQuery.LOAD_FAILURE, **{name: str(value) for name, value in match.items()}
        )
        with self._lock:
            pending = [*_waiting(self._folders), *self._entries]
        matching = [entry for entry in pending if match.items() <= entry.items()]
        return max([*committed, *matching], key=lambda entry: entry["ts"], default=None)

    def standing(self, function: Declared, *, committed: bool = True) -> FunctionState:
        """How a function fares, in its present source, by the runs that `runs` gives."""
        now = self._clock()  # a replay of a time to come says nothing of the present
        runs = [run for run in self.runs(function.name, committed=committed) if run["ts"] <= now]
        return function_state(function.code_hash, runs)

    def _committed(self, function: str, newest: int) -> list[Entry]:
        return self._history.rows(HistoryQuery.RUNS, function=function, newest=newest)


def function_state(code_hash: str, runs: Sequence[Entry]) -> FunctionState:
    """What the newest runs (the newest first) say of a function whose source has this hash."""
    mine = [run for run in runs if run["code_hash"] == code_hash]
    counted = [run for run in mine if run["outcome"] not in PARDONED]
    failed = []
    for run in counted:
        if run["outcome"] not in FAILURES:
            break
        failed.append(run)
    well = [run["ts"] for run in mine if run["outcome"] in ("ok", "nothing")]
    return FunctionState(len(failed), max(well, default=None), failed[0]["ts"] if failed else None)


def _waiting(folders: Folders) -> Iterable[Entry]:
    """The runs whose segments the writer has not taken yet."""
    for path in folders.inbox.glob("*-runs-*.parquet"):
        try:
            yield from pq.read_table(path).to_pylist()
        except (OSError, pa.ArrowException):  # taken or put aside meanwhile
            continue
