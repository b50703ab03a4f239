"""The hands that carry out a call: what a run is asked, what it answers, and the run in place."""

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from functions.engine.executors.worker_protocol import Raised
from functions.engine.function import UNREACHABLE, Batch, Declared, Function, Unreachable
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.errors import HoursightError, LakeMissing
from storage.platform.error_text import MAX_ERROR_CHARS, bounded
from storage.query.shared_reader import SharedReader

__all__ = [
    "CallRequest",
    "CallResult",
    "Cost",
    "CostMeter",
    "Executor",
    "InProcessExecutor",
    "RunStopped",
    "error_text",
    "outcome_of",
]

log = logging.getLogger(__name__)

_MEGABYTE_KB = 1024
# Callers add where it happened.
MAX_WORDS_CHARS = MAX_ERROR_CHARS - 200


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What a function is told, beside what it reads of the lake itself."""

    now: datetime
    cursor: str | None = None
    paths: tuple[Path, ...] = ()
    body: Any = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took of the machine; the memory is the most that its process ever held."""

    cpu_s: float = 0.0
    peak_rss_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a run brought, and what it saw of the lake."""

    batch: Batch
    snapshot: int | None = None
    rows_in: int = 0
    cost: Cost | None = None


class RunStopped(HoursightError):
    """A run in another process that brought nothing: `outcome` says how it ended, the text why."""

    def __init__(
        self, outcome: str, why: str, cost: Cost | None = None, raised: Raised | None = None
    ) -> None:
        super().__init__(why, retryable=raised is not None and raised.retryable)
        self.outcome = outcome
        self.cost = cost
        self.raised = raised  # the error of ours that ended it, if one did


class Executor(Protocol):
    """Whoever carries out calls."""

    def call(self, function: Declared, asked: CallRequest) -> CallResult:
        """Call it once; raises what it raises, or Stopped."""
        ...


class InProcessExecutor:
    """Calls functions in this very process; may be shared between threads."""

    def __init__(self, folders: Folders, settings: Settings) -> None:
        self.folders = folders
        self.settings = settings
        self.reader = SharedReader(folders.data)
        self._lock = threading.Lock()
        self._shelf: Any = None

    def call(self, function: Declared, asked: CallRequest) -> CallResult:
        """Hand a function what it names, and take what it returns."""
        assert isinstance(function, Function), f"{function.name} lives in another process"
        given = {
            "now": asked.now, "cursor": asked.cursor, "paths": asked.paths, "body": asked.body,
        }  # fmt: skip
        if "shelf" in function.needs:
            given["shelf"] = self._open_shelf()
        if "settings" in function.needs:
            given["settings"] = self._section(function.name)
        if "window" not in function.needs:
            return CallResult(_result(function, given))
        # A child that reads nothing stays small.
        from functions.engine.window import Window
        from storage.query.snapshot_reader import SnapshotReader

        with self.reader.use() as shared, SnapshotReader(shared) as reader:
            snapshot = reader.snapshot()
            batch = _result(function, given | {"window": Window(reader, asked.now)})
            return CallResult(batch, snapshot, reader.rows_read)

    def _open_shelf(self) -> Any:
        from functions.engine.serving_model import ServingModel

        with self._lock:
            if self._shelf is None:
                self._shelf = ServingModel(self.folders)
            return self._shelf

    def _section(self, name: str) -> Any:
        section = getattr(self.settings.sources, name, None)
        if section is None:
            raise TypeError(f"{name} asks for settings, and [sources.{name}] is no section of them")
        return section


class CostMeter:
    """Measures what happens in this process from now on."""

    def __init__(self) -> None:
        self._cpu_s = time.process_time()

    def cost(self) -> Cost:
        """CPU since the start, and the most memory that this process ever held."""
        return Cost(time.process_time() - self._cpu_s, _peak_rss_mb())


def outcome_of(error: BaseException) -> str:
    """How a run ended that raised `error`: "unreachable" or "failed".

    It is unreachable where the source or the lake did not answer, which is not the function's
    fault. A lake that is still to be made is told by `Run.waits`.
    """
    away = isinstance(error, HoursightError) and error.retryable
    if isinstance(error, UNREACHABLE) or (away and not isinstance(error, LakeMissing)):
        return "unreachable"
    return "failed"


def error_text(error: BaseException) -> str:
    """An error as the ledger keeps it; what a source says of itself needs no name of ours."""
    if isinstance(error, Unreachable):
        return bounded(str(error), MAX_WORDS_CHARS)
    return bounded(f"{type(error).__name__}: {error}", MAX_WORDS_CHARS)


def _result(function: Function, given: dict[str, Any]) -> Batch:
    return function.batch(function.call(**{name: given[name] for name in function.needs}))


def _peak_rss_mb() -> float:
    # Not getrusage: what it tells outlives exec, and is then the peak of the process before.
    with Path("/proc/self/status").open() as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / _MEGABYTE_KB
    return 0.0
