"""Function states: every function, what sets it off, how it fares, and when it runs next."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from functions.engine.function import Batch, function
from functions.engine.function_catalog import CatalogEntry, FunctionCatalog
from functions.engine.run_log import LOADING, RECENT_RUNS, RESUME_AFTER, function_state
from functions.engine.schedule import BACK_OFF_S
from functions.engine.triggers import Cron, Every, Files, Request, request
from functions.engine.user_files import UserFile
from functions.engine.window import Window
from storage.config.settings import settings_in_force

__all__ = ["FunctionInfo", "function_infos", "function_states"]

# The newest runs decide: a function that is suspended is tried again every 10 minutes.
LOOK_BACK = timedelta(days=7)
_RUNS = """
SELECT function, code_hash, trigger, ts, outcome, error FROM runs
WHERE ts > $since AND ts <= $now
QUALIFY row_number() OVER (PARTITION BY function ORDER BY ts DESC) <= $newest
ORDER BY ts DESC
"""

Runs = Mapping[str, Sequence[dict[str, Any]]]


class FunctionInfo(msgspec.Struct, frozen=True):
    """One function; `file` is that of the user's, and None for one of Hoursight's own.

    `loaded` is False for a file that has no version that could be loaded; `load_error` says why the
    file as it is saved cannot be. `runnable` says that it needs nothing handed over.
    """

    name: str
    on: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    purpose: str = ""
    file: str | None = None
    code_hash: str | None = None
    loaded: bool = True
    suspended: bool = False
    failures: int = 0
    next_at: datetime | None = None
    runnable: bool = False
    load_error: str | None = None


@function(on=request(), writes=())
def function_states(window: Window) -> Batch:
    """Answer with every function: what sets it off, whether it is suspended, when it runs next."""
    return Batch(answer={"functions": msgspec.to_builtins(function_infos(window))})


def function_infos(window: Window) -> list[FunctionInfo]:
    """Return every function that runs, and every file of the user's that cannot be loaded."""
    folders = window.reader.folders
    catalog = FunctionCatalog(folders, settings_in_force(folders.data))
    runs = _newest_runs(window)
    files = [file for file in catalog.user_files() if file.version is None]
    return [
        *(_info(entry, runs, window.now) for entry in catalog.entries()),
        *(_without_version(file, runs) for file in files),
    ]


def _newest_runs(window: Window) -> Runs:
    rows = window.sql(_RUNS, since=window.now - LOOK_BACK, now=window.now, newest=RECENT_RUNS)
    result: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.to_pylist():
        result[row["function"]].append(row)
    return result


def _info(entry: CatalogEntry, runs: Runs, now: datetime) -> FunctionInfo:
    declared = entry.function
    state = function_state(declared.code_hash, runs.get(declared.name, ()))
    called_only = all(isinstance(trigger, Request) for trigger in declared.on)
    scheduled = entry.source is not None and not called_only
    suspended = state.suspended and scheduled
    next_at = None if called_only else _next_at(entry, state.failures, state.failed_at, now)
    if suspended and state.failed_at is not None:
        next_at = max(now, state.failed_at + RESUME_AFTER)
    error = _load_error(entry.saved.name, entry.saved.code_hash, runs) if entry.saved else None
    return FunctionInfo(
        declared.name, tuple(map(str, declared.on)), declared.writes, declared.purpose,
        _file(entry), declared.code_hash, True, suspended,
        state.failures, next_at, not any(isinstance(t, Request | Files) for t in declared.on),
        error,
    )  # fmt: skip


def _file(entry: CatalogEntry) -> str | None:
    path = Path(entry.source.path) if entry.source and entry.source.path else None
    return f"{path.parent.name}/{path.name}" if path else None


def _next_at(
    entry: CatalogEntry, failures: int, failed_at: datetime | None, now: datetime
) -> datetime | None:
    """Return when the clock sets it off next; None where only rows, files or calls do."""
    if failures and failed_at is not None:
        wait_s = BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1]
        return max(now, failed_at + timedelta(seconds=wait_s))
    timed = [t for t in entry.function.on if isinstance(t, Every | Cron)]
    return min((trigger.next_after(now) for trigger in timed), default=None)


def _without_version(file: UserFile, runs: Runs) -> FunctionInfo:
    name = file.source.name
    return FunctionInfo(
        name, file=f"{file.folder.folder}/{name}{file.folder.suffix}", loaded=False,
        code_hash=file.source.code_hash, load_error=_load_error(name, file.source.code_hash, runs),
    )  # fmt: skip


def _load_error(name: str, code_hash: str, runs: Runs) -> str | None:
    """Return why this very text could not be loaded; None if nothing has tried yet."""
    for run in runs.get(name, ()):
        if run["trigger"] == LOADING and run["code_hash"] == code_hash:
            return str(run["error"])
    return None
