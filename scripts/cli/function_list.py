"""What `hoursight functions` shows and does: the list, the runs, why one failed, a new one."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from functions.engine.function_catalog import CatalogEntry, FunctionCatalog
from functions.engine.run_log import (
    FAILURES,
    LOADING,
    NOT_COUNTED,
    RESUME_AFTER,
    FunctionState,
    function_state,
)
from functions.engine.runner import Runner
from functions.engine.schedule import BACK_OFF_S
from functions.engine.triggers import Request
from scripts.cli.output import format_time, print_grid
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.errors import HoursightError
from storage.query.reader import Reader

__all__ = ["make_new", "resume", "runner_of", "show_functions", "show_runs", "why"]

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")

NOT_LOADED = "not loaded yet (start 'hoursight up')"
SAVED_NOT_LOADED = f"the saved one is {NOT_LOADED}"

REMEDIES = {
    "failed": "mend {where}: it is live as soon as it is saved. "
    "'hoursight call {name} --dry-run' runs it alone",
    "crashed": "its process died under it: look for native code, os._exit and signals in {where}. "
    "'hoursight call {name} --dry-run' runs it alone",
    "timed out": "make it faster, hand it less at a time (a cursor), or give it longer: "
    "@function(deadline=…) in {where}",
    "out of memory": "work in pieces or on less (SQL can do sums), or give it more: "
    "@function(memory_mb=…) in {where}",
    "unreachable": "see whether its source answers; it goes on by itself when it does",
    "not written": "see 'hoursight doctor' for what keeps the disk from being written; "
    "it goes on by itself",
}


class NotMade(HoursightError):
    """A new function cannot be made; the message says why."""


def runner_of(data: Path) -> Runner:
    """Return a runner for a data folder, which need not exist: it is asked and runs nothing."""
    return Runner(Folders.at(data), read_settings(data))


def show_functions(runner: Runner) -> None:
    """List the functions: what sets them off, what they write, how they fare."""
    catalog = FunctionCatalog(runner.folders, runner.settings)
    rows = []
    for each in catalog.entries():
        runs = _runs(runner, each)
        on = ", ".join(str(trigger) for trigger in each.function.on)
        last = runs[0]["ts"] if runs else None
        writes = ", ".join(each.function.writes)
        rows.append([
            each.function.name, on, writes, last, _state(runner, each, runs),
            each.function.purpose,
        ])  # fmt: skip
    for file in catalog.user_files():
        if file.version is None:
            failure = runner.run_log.load_failure(file.source)
            state = f"cannot be loaded: {failure['error']}" if failure else NOT_LOADED
            rows.append([file.source.name, "", "", None, state, ""])
    print_grid(["function", "on", "writes", "last run", "state", "purpose"], rows)


# What became of a run's rows is known once its segments are committed.
RUNS = """
WITH newest AS (
    FROM runs WHERE $name IS NULL OR function = $name ORDER BY ts > $now, ts DESC LIMIT $last
),
written AS (
    SELECT
        run_id, sum(rows_committed)::BIGINT AS new, sum(rows_refused)::BIGINT AS refused,
        sum(values_repeated)::BIGINT AS repeated
    FROM segments
    WHERE run_id IN (SELECT run_id FROM newest)
    GROUP BY run_id
)
SELECT
    ts, function, trigger, outcome, rows_out, new, refused, repeated, round(duration_ms) AS ms,
    round(peak_rss_mb) AS mb, error
FROM newest LEFT JOIN written USING (run_id)
ORDER BY ts > $now, ts DESC
"""


def show_runs(data: Path, name: str | None, last: int) -> None:
    """The newest runs of one function or of all, from the ledger."""
    with closing(Reader.open(data)) as reader:
        rows = reader.query(
            RUNS, name=name, last=last, now=datetime.now(UTC),
        )  # fmt: skip
    print_grid(rows.column_names, [list(row.values()) for row in rows.to_pylist()])


def why(runner: Runner, name: str) -> Iterator[str]:
    """Lines that tell how a function last failed, what happens next, and what to do."""
    catalog = FunctionCatalog(runner.folders, runner.settings)
    entries = [
        e for e in catalog.entries() if name in (e.function.name, e.source and e.source.name)
    ]
    if not entries:
        yield from _why_without_function(runner, catalog, name)
        return
    each = entries[0]
    runs = _runs(runner, each)
    on = ", ".join(str(trigger) for trigger in each.function.on)
    yield f"{each.function.name} ({on}): {each.function.purpose or 'no docstring'}"
    failure = runner.run_log.load_failure(each.saved) if each.saved else None
    if each.saved and failure is None:
        yield _line("saved", f"the file as it is saved is {NOT_LOADED}")
    yield from _failure(each.function.name, each, runs, failure)


def _why_without_function(runner: Runner, catalog: FunctionCatalog, name: str) -> Iterator[str]:
    """The same of a file that has no version that could be loaded, or of a name in the ledger."""
    runs = runner.run_log.runs(name)
    files = [f for f in catalog.user_files() if f.version is None and f.source.name == name]
    failure = runner.run_log.load_failure(files[0].source) if files else None
    if files and failure is None:
        yield f"{name} is {NOT_LOADED}"
        return
    if not files and not runs:
        catalog.find(name)  # raises UnknownFunction, which lists those that there are
    yield from _failure(name, None, runs, failure)


def resume(runner: Runner, name: str) -> str:
    """Let a suspended function run again; return what that means, in words."""
    function = FunctionCatalog(runner.folders, runner.settings).find(name).function
    if not runner.run_log.state(function).suspended:
        return f"{name} is not suspended: it runs whenever it is due"
    runner.resume(function)
    return f"{name} runs again when it is due, as soon as the running system has heard of it"


def make_new(runner: Runner, name: str) -> list[Path]:
    """Write a new function and its test into the user's folder."""
    if not NAME.fullmatch(name):
        raise NotMade(
            f"{name!r} is not a valid name (expected small letters, digits and '_', a letter first)"
        )
    folders = runner.folders
    paths = [folders.functions / f"{name}.py", folders.functions / f"test_{name}.py"]
    names = FunctionCatalog(folders, runner.settings).names()
    if name in names or any(path.exists() for path in paths):
        raise NotMade(f"there is a function {name!r} already: choose another name")
    folders.functions.mkdir(parents=True, exist_ok=True)
    for path, template in zip(paths, ("function.py.txt", "test_function.py.txt"), strict=True):
        path.write_text((TEMPLATES / template).read_text().replace("NAME", name))
    return paths


def _runs(runner: Runner, known: CatalogEntry) -> list[dict[str, Any]]:
    """Its newest runs, and the times when its file could not be loaded."""
    names = {known.function.name}
    if known.source and known.source.path:
        names.add(known.source.name)
    runs = [run for name in names for run in runner.run_log.runs(name)]
    return sorted(runs, key=lambda run: run["ts"], reverse=True)


def _state(runner: Runner, known: CatalogEntry, runs: Sequence[dict[str, Any]]) -> str:
    state = function_state(known.function.code_hash, runs)
    last = next((r for r in runs if r["code_hash"] == known.function.code_hash), None)
    if known.saved:
        failure = runner.run_log.load_failure(known.saved)
        return f"its last good version runs: {failure['error'] if failure else SAVED_NOT_LOADED}"
    if last is None:
        return "not yet"
    if state.suspended and known.source:
        return f"suspended: {last['error']}"
    if last["error"] and last["outcome"] in FAILURES | NOT_COUNTED:
        return f"{last['outcome']}: {last['error']}"
    return str(last["outcome"])


def _failure(
    name: str,
    known: CatalogEntry | None,
    runs: Sequence[dict[str, Any]],
    load_failure: dict[str, Any] | None,
) -> Iterator[str]:
    failures = (run for run in runs if run["outcome"] in FAILURES | NOT_COUNTED)
    failed = load_failure or next(failures, None)
    if failed is None:
        since = f"the last {len(runs)} runs went well" if runs else "it has not run yet"
        yield f"{name} has not failed: {since}"
        return
    yield _line("failed", f"{format_time(failed['ts'])}, set off by {failed['trigger']}")
    took = failed["duration_ms"]
    yield _line("outcome", failed["outcome"] + (f" after {took / 1000:.3g} s" if took else ""))
    yield _line("error", str(failed["error"]))
    if failed["peak_rss_mb"]:
        memory, cpu = failed["peak_rss_mb"], failed["cpu_s"]
        yield _line("took", f"{memory:.0f} MB at its peak, {cpu:.2g} s of CPU")
    yield _line("next", _next(known, failed, runs))
    yield _line("to do", _remedy(name, known, failed))


def _next(
    known: CatalogEntry | None, failed: dict[str, Any], runs: Sequence[dict[str, Any]]
) -> str:
    """What the system does by itself."""
    if known is None:
        return "nothing runs: there is no version of it that could be loaded"
    if failed["trigger"] == LOADING and known.saved:
        return "its last good version runs on until the file is mended"
    newer = [run for run in runs if run["ts"] > failed["ts"]]
    well = sum(run["outcome"] in ("ok", "nothing") for run in newer)
    if well:
        return f"nothing: it went well {well} time{'s' if well > 1 else ''} since"
    state = function_state(known.function.code_hash, runs)
    return _retry(known, state, failed["ts"])


def _retry(known: CatalogEntry, state: FunctionState, failed_at: datetime) -> str:
    name = known.function.name
    if all(isinstance(trigger, Request) for trigger in known.function.on):
        return "it runs when it is next asked for"
    if state.failures == 0:
        return "it runs when it is next due"
    if state.suspended and known.source:
        return (
            f"suspended after {state.failures} failures in a row: it is tried again about "
            f"{format_time(failed_at + RESUME_AFTER)}, at once when its source changes, or after "
            f"'hoursight functions resume {name}'"
        )
    step = BACK_OFF_S[min(state.failures, len(BACK_OFF_S)) - 1]
    return f"it is tried again about {format_time(failed_at + timedelta(seconds=step))}"


def _remedy(name: str, known: CatalogEntry | None, failed: dict[str, Any]) -> str:
    where = f"{name}.py"
    if known is not None:
        where = (known.source and known.source.path) or "its module in the folder functions"
    return REMEDIES[failed["outcome"]].format(name=name, where=where)


def _line(label: str, text: str) -> str:
    return f"{label:8} {text}"
