"""Executors carry out calls of functions; this one calls them in its own process."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from functions.engine.executors.function_call import CallRequest, CallResult, Cost
from functions.engine.executors.worker_protocol import Raised
from functions.engine.function import (
    FORMER_ARGUMENTS,
    UNREACHABLE,
    Batch,
    Declared,
    Function,
    Unreachable,
)
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.errors import HoursightError, LakeMissing
from storage.platform.error_text import MAX_ERROR_CHARS, bounded
from storage.query.shared_reader import SharedReader

if TYPE_CHECKING:
    from storage.query.reader import Reader

__all__ = ["CostMeter", "Executor", "InProcessExecutor", "RunStopped", "error_text", "outcome_of"]

log = logging.getLogger(__name__)

_MEGABYTE_KB = 1024
# Callers add where it happened.
MAX_MESSAGE_CHARS = MAX_ERROR_CHARS - 200


class RunStopped(HoursightError):
    """A run in another process that returned nothing.

    `outcome` is that of the run, `cost` what it took until then, and `raised` the error of ours
    that ended it, if one did.
    """

    def __init__(
        self, outcome: str, why: str, cost: Cost | None = None, raised: Raised | None = None
    ) -> None:
        super().__init__(why, retryable=raised is not None and raised.retryable)
        self.outcome = outcome
        self.cost = cost
        self.raised = raised


class Executor(Protocol):
    """Carries out calls of functions."""

    def call(self, function: Declared, request: CallRequest) -> CallResult:
        """Call a function once. Raises what it raises, or RunStopped."""
        ...


class InProcessExecutor:
    """Calls functions in this process; safe to share between threads."""

    def __init__(self, folders: Folders, settings: Settings) -> None:
        self.folders = folders
        self.settings = settings
        self.reader = SharedReader(folders.data)
        self._lock = threading.Lock()
        self._model: Any = None

    def call(self, function: Declared, request: CallRequest) -> CallResult:
        """Hand a function the arguments that it names, and return its batch.

        All its queries see one snapshot of the lake, which keeps no commit and no merge waiting.
        """
        assert isinstance(function, Function), f"{function.name} belongs to another process"
        arguments = msgspec.structs.asdict(request)
        for name in {"model", *FORMER_ARGUMENTS} & set(function.needs):
            arguments[name] = self._serving_model()
        if "settings" in function.needs:
            arguments["settings"] = self._section(function.name)
        if "devices" in function.needs:
            arguments["devices"] = self.settings.devices
        if "window" not in function.needs:
            return CallResult(_batch(function, arguments))
        # A child that reads nothing stays small.
        from functions.engine.window import Window

        with self._snapshot() as reader:
            snapshot = reader.snapshot()
            batch = _batch(function, arguments | {"window": Window(reader, request.now)})
            return CallResult(batch, snapshot, reader.rows_read)

    @contextmanager
    def _snapshot(self) -> Iterator["Reader"]:
        """Context: a reader of which all queries see one snapshot of the lake."""
        from storage.query.snapshot_reader import SnapshotReader

        with self.reader.use() as shared, SnapshotReader(shared) as reader:
            yield reader

    def _serving_model(self) -> Any:
        from functions.engine.serving_model import ServingModel

        with self._lock:
            if self._model is None:
                self._model = ServingModel(self.folders)
            return self._model

    def _section(self, name: str) -> Any:
        own = {"training": self.settings.training}
        section = own.get(name) or getattr(self.settings.sources, name, None)
        if section is None:
            raise TypeError(
                f"{name} has the argument 'settings', and the settings have no section "
                f"[sources.{name}]: leave the argument out"
            )
        return section


class CostMeter:
    """Measures what happens in this process from now on."""

    def __init__(self) -> None:
        self._cpu_s = time.process_time()

    def cost(self) -> Cost:
        """Return the CPU time since the start, and the largest size that this process ever had."""
        return Cost(time.process_time() - self._cpu_s, _peak_rss_mb())


def outcome_of(error: BaseException) -> str:
    """Return the outcome of a run that raised `error`: "unreachable" or "failed".

    It is "unreachable" where the source or the lake did not answer, which is not the function's
    fault. For a lake that does not exist yet it is "failed": `Run.waits` says that it is no fault.
    """
    away = isinstance(error, HoursightError) and error.retryable
    if isinstance(error, UNREACHABLE) or (away and not isinstance(error, LakeMissing)):
        return "unreachable"
    return "failed"


def error_text(error: BaseException) -> str:
    """Return an error as the run log keeps it: with its class, unless a source speaks of itself."""
    if isinstance(error, Unreachable):
        return bounded(str(error), MAX_MESSAGE_CHARS)
    return bounded(f"{type(error).__name__}: {error}", MAX_MESSAGE_CHARS)


def _batch(function: Function, arguments: dict[str, Any]) -> Batch:
    return function.batch(function.call(**{name: arguments[name] for name in function.needs}))


def _peak_rss_mb() -> float:
    # getrusage survives exec, and then reports the peak of the process before.
    with Path("/proc/self/status").open() as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / _MEGABYTE_KB
    return 0.0
