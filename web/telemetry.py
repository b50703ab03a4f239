"""`/metrics`: how the system itself fares, for Prometheus. See docs/monitoring.md.

All of it comes from the lake, the data folder and /proc. What depends on the lake is gathered once
a snapshot; ages are worked out at each scrape.
"""

import os
import platform
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

from litestar import Response, get

from storage.config.folders import Folders
from storage.inbox import notify
from storage.query.reader import Reader
from web.exposition import CONTENT_TYPE, Measure, exposed
from web.lake_session import LakeMissing, LakeSession, LakeUnreadable, QueryFailed, sql
from web.ledger_totals import LedgerTotals
from web.process_usage import Usage, started_at, usage_of
from web.rendering import AnyRequest

__all__ = ["BUILT_IN", "MEASURES", "ROUTES", "Telemetry"]

STATES = ("ready", "missing", "unreadable")
REPORTING = timedelta(minutes=5)
FILES_COUNTED_EVERY = timedelta(minutes=1)
SUSPENDED_AFTER = 5  # failures in a row
# Functions of the engine itself are tried again and again; only others are suspended.
BUILT_IN = frozenset({"forecast", "risk", "rollup"})
# A process is the one of the ledger when it began at the time that stands there.
SAME_START = timedelta(seconds=10)

MEASURES = (
    Measure("hoursight_up", "gauge", "1 when the lake can be read."),
    Measure("hoursight_lake_state", "gauge", "1 for the state that the lake is in.", ("state",)),
    Measure("hoursight_build_info", "gauge", "Always 1: what is installed.", ("version", "python")),
    Measure("hoursight_model_info", "gauge", "Always 1: the model in use.", ("model",)),
    Measure("hoursight_model_refused", "gauge", "1 when the model file was refused."),
    Measure("hoursight_commits_total", "counter", "Commits of segments."),
    Measure("hoursight_last_commit_timestamp_seconds", "gauge", "When the writer last committed."),
    Measure("hoursight_segments_total", "counter", "Segments by outcome.", ("outcome",)),
    Measure("hoursight_rows_total", "counter", "Rows committed by table.", ("table",)),
    Measure("hoursight_inbox_segments", "gauge", "Segments that wait for the writer."),
    Measure("hoursight_inbox_bytes", "gauge", "Size of the segments that wait."),
    Measure("hoursight_inbox_oldest_age_seconds", "gauge", "Age of the oldest segment that waits."),
    Measure("hoursight_pending_bytes", "gauge", "Size of pushes that are not in a segment yet."),
    Measure("hoursight_rejected_segments", "gauge", "Files in the folder rejected."),
    Measure("hoursight_servers", "gauge", "Servers that are known."),
    Measure(
        "hoursight_servers_reporting", "gauge", "Servers with a sample of the last 5 minutes."
    ),
    Measure("hoursight_newest_sample_age_seconds", "gauge", "Age of the newest sample."),
    Measure(
        "hoursight_source_lag_seconds", "gauge", "Age of the newest sample by source.", ("source",)
    ),
    Measure(
        "hoursight_source_rows_total", "counter", "Samples committed by source.", ("source",)
    ),
    Measure(
        "hoursight_source_refused_total", "counter", "Rows and values refused by source.",
        ("source",),
    ),
    Measure("hoursight_forecast_age_seconds", "gauge", "Age of the newest forecast."),
    Measure(
        "hoursight_function_runs_total", "counter", "Runs by function and outcome.",
        ("function", "outcome"),
    ),
    Measure(
        "hoursight_function_duration_seconds", "summary", "Duration of runs by function.",
        ("function",),
    ),
    Measure(
        "hoursight_function_cpu_seconds_total", "counter", "CPU time of runs by function.",
        ("function",),
    ),
    Measure(
        "hoursight_function_failures_in_a_row", "gauge",
        "Failures since the last good run, within a day.", ("function",),
    ),
    Measure(
        "hoursight_functions_suspended", "gauge",
        "Functions that failed 5 times in a row and run every 10 minutes only.",
    ),
    Measure("hoursight_process_up", "gauge", "1 when the process runs.", ("process",)),
    Measure("hoursight_process_starts_total", "counter", "Starts of the process.", ("process",)),
    Measure(
        "hoursight_process_resident_memory_bytes", "gauge",
        "Resident memory of the process and its children.", ("process",),
    ),
    Measure(
        "hoursight_process_cpu_seconds_total", "counter",
        "CPU time of the process and its children.", ("process",),
    ),
    Measure(
        "hoursight_lake_snapshots_total", "counter",
        "Snapshots that the lake has made, by commits and by maintenance.",
    ),
    Measure("hoursight_lake_files", "gauge", "Parquet files of the lake by table.", ("table",)),
    Measure("hoursight_lake_bytes", "gauge", "Size of these files by table.", ("table",)),
)  # fmt: skip

_Gather = Callable[[Reader, datetime], None]
_Values = defaultdict[str, dict[tuple[str, ...], float]]


class Telemetry:
    """The metrics of one data folder; may be asked by several threads."""

    def __init__(self, lake: LakeSession) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._totals = LedgerTotals()
        self._snapshot: int | None = None
        self._stamps: dict[str, int] | None = None
        self._parts: tuple[tuple[tuple[str, ...], _Gather], ...] = (
            (("segments",), self._totals.update_segments),
            (("runs",), self._totals.update_runs),
            (("metrics", "metrics_5m"), self._gather_samples),
            (("server_facts", "deletions"), self._gather_servers),
            (("models",), self._gather_model),
            (("runs",), self._gather_failures),
            (("processes",), self._gather_processes),
        )
        self._gathered: dict[str, Any] = {}
        self._files: list[dict[str, Any]] = []
        self._files_at: datetime | None = None

    def text(self, now: datetime) -> str:
        """All metrics as of `now` in Prometheus' text format; those that are unknown are absent."""
        with self._lock:
            values: _Values = defaultdict(dict)
            state = self._refresh(now)
            for each in STATES:
                values["hoursight_lake_state"][(each,)] = float(each == state)
            values["hoursight_up"][()] = float(state == "ready")
            values["hoursight_build_info"][_build()] = 1
            for name, value in _folder_values(self._lake.folders, now):
                values[name][()] = value
            for name, counts in self._totals.counters.items():
                values[name] = dict(counts)
            if state == "ready":
                self._add_gathered(values, now)
            _add_processes(values, self._gathered.get("processes", []))
            return exposed(MEASURES, values)

    def _refresh(self, now: datetime) -> str:
        """Gather what has changed; the state of the lake."""
        try:
            with self._lake.snapshot() as reader:
                snapshot = reader.snapshot()
                if snapshot != self._snapshot:
                    self._follow(reader, snapshot, now)
                if self._files_at is None or now - self._files_at >= FILES_COUNTED_EVERY:
                    self._files = reader.query(sql("telemetry_files")).to_pylist()
                    self._files_at = now
        except LakeMissing:
            return "missing"
        except (LakeUnreadable, QueryFailed, OSError):
            return "unreadable"
        return "ready"

    def _follow(self, reader: Reader, snapshot: int, now: datetime) -> None:
        """Gather again what stands in tables that changed, as far as the writer announced it."""
        if snapshot < (self._snapshot or 0):
            self._totals.begin_anew()
            self._stamps = None
        stamps = notify.commit_times(self._lake.folders.data)
        known = self._stamps if stamps else None  # on another host than the writer's there are none
        for tables, gather in self._parts:
            if known is None or any(stamps.get(name) != known.get(name) for name in tables):
                gather(reader, now)
        self._snapshot, self._stamps = snapshot, stamps

    def _gather_samples(self, reader: Reader, now: datetime) -> None:
        latest = reader.latest(now - REPORTING, now)["ts"].to_pylist()
        newest = (
            max(latest) if latest else reader.query(sql("newest_sample"), now=now)["ts"][0].as_py()
        )
        self._gathered |= {"latest": latest, "newest": newest}

    def _gather_servers(self, reader: Reader, _: datetime) -> None:
        self._gathered["servers"] = reader.query(sql("telemetry_servers"))["servers"][0].as_py()

    def _gather_model(self, reader: Reader, _: datetime) -> None:
        self._gathered["model"] = reader.query(sql("telemetry_model")).to_pylist()[0]

    def _gather_failures(self, reader: Reader, now: datetime) -> None:
        rows = reader.query(sql("telemetry_failures"), now=now).to_pylist()
        self._gathered["failures"] = rows

    def _gather_processes(self, reader: Reader, _: datetime) -> None:
        self._gathered["processes"] = reader.query(sql("telemetry_processes")).to_pylist()

    def _add_gathered(self, values: _Values, now: datetime) -> None:
        found, totals = self._gathered, self._totals
        values["hoursight_servers"][()] = found["servers"]
        reporting = sum(at >= now - REPORTING for at in found["latest"])
        values["hoursight_servers_reporting"][()] = reporting
        values["hoursight_lake_snapshots_total"][()] = self._snapshot or 0
        if found["newest"] is not None:
            values["hoursight_newest_sample_age_seconds"][()] = _age_s(found["newest"], now)
        for source, at in totals.newest_by_source.items():
            values["hoursight_source_lag_seconds"][(source,)] = _age_s(at, now)
        if "forecasts" in totals.newest_by_table:
            age_s = _age_s(totals.newest_by_table["forecasts"], now)
            values["hoursight_forecast_age_seconds"][()] = age_s
        if found["model"]["model"] is not None:
            values["hoursight_model_info"][(found["model"]["model"],)] = 1
        values["hoursight_model_refused"][()] = float(found["model"]["refused"] or False)
        for row in self._files:
            values["hoursight_lake_files"][(row["table_name"],)] = row["files"]
            values["hoursight_lake_bytes"][(row["table_name"],)] = row["bytes"]
        _add_failures(values, found["failures"])


def _add_failures(values: _Values, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        values["hoursight_function_failures_in_a_row"][(row["function"],)] = row["failures"]
    suspended = [r for r in rows if r["failures"] >= SUSPENDED_AFTER]
    values["hoursight_functions_suspended"][()] = sum(
        r["function"] not in BUILT_IN for r in suspended
    )


def _add_processes(values: _Values, rows: list[dict[str, Any]]) -> None:
    """The processes of the ledger that run on this host; of the site itself always."""
    known = {row["process"]: row for row in rows}
    for name, row in known.items():
        values["hoursight_process_starts_total"][(name,)] = row["starts"]
        values["hoursight_process_up"][(name,)] = float(row["event"] == "started")
    usages = {name: _usage(row) for name, row in known.items() if row["event"] == "started"}
    for name, usage in (usages | {"web": usage_of(os.getpid())}).items():
        if usage is not None:
            values["hoursight_process_resident_memory_bytes"][(name,)] = usage.source_worker_bytes
            values["hoursight_process_cpu_seconds_total"][(name,)] = usage.cpu_s


def _usage(row: dict[str, Any]) -> Usage | None:
    """None when the process is not here, and its number that of another one."""
    began = started_at(row["pid"]) if row["pid"] else None
    return usage_of(row["pid"]) if began and abs(began - row["ts"]) < SAME_START else None


def _folder_values(folders: Folders, now: datetime) -> Iterator[tuple[str, float]]:
    waiting = list(_files(folders.inbox, ".parquet"))
    yield "hoursight_inbox_segments", len(waiting)
    yield "hoursight_inbox_bytes", sum(size for size, _ in waiting)
    oldest = min((at for _, at in waiting), default=now.timestamp())
    yield "hoursight_inbox_oldest_age_seconds", max(0.0, now.timestamp() - oldest)
    yield "hoursight_pending_bytes", sum(size for size, _ in _files(folders.pending, ".push"))
    yield "hoursight_rejected_segments", sum(1 for _ in _files(folders.rejected, ".parquet"))
    with suppress(OSError):
        committed = notify.last_commit(folders.data)
        if committed is not None:
            yield "hoursight_last_commit_timestamp_seconds", committed.timestamp()


def _files(folder: Path, suffix: str) -> Iterator[tuple[int, float]]:
    """Size and time of change of the files in a folder, which need not be there."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(suffix):
                with suppress(FileNotFoundError):  # the writer has just taken it
                    stat = entry.stat()
                    yield stat.st_size, stat.st_mtime


def _age_s(at: datetime, now: datetime) -> float:
    return (now - at).total_seconds()


def _build() -> tuple[str, str]:
    try:
        version = metadata.version("hoursight")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        version = "unknown"
    return version, platform.python_version()


@get("/metrics", sync_to_thread=True, summary="The system's own metrics, for Prometheus")
def metrics(request: AnyRequest) -> Response[str]:
    """Text format 0.0.4; 200 also when there is no lake or it cannot be read."""
    telemetry: Telemetry = request.app.state.telemetry
    return Response(
        telemetry.text(datetime.now(UTC)), media_type=CONTENT_TYPE,
        headers={"Cache-Control": "no-store"},
    )  # fmt: skip


ROUTES = (metrics,)
