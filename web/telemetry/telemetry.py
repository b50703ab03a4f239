"""Values of the metrics at /metrics: the state of the system itself. See docs/monitoring.md.

They come from the lake, the data folder and /proc. Values that depend on the lake are queried once
per snapshot; ages are computed at each scrape.
"""

import os
import platform
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

from storage.config.folders import Folders
from storage.inbox import notify
from storage.lake.file_health import read_scrub_state
from storage.model.grid import LEAD_MINUTES
from storage.model.time_limits import age_s
from storage.platform.process_usage import Usage, running_since, usage_of
from storage.query.reader import Reader
from web.lake_session import LakeMissing, LakeSession, LakeUnreadable, QueryFailed, sql
from web.telemetry.exposition import Values, exposed
from web.telemetry.log_totals import LogTotals
from web.telemetry.measures import MEASURES

__all__ = ["BUILT_IN", "SUSPENDED_AFTER", "Telemetry"]

STATES = ("ready", "missing", "unreadable")
REPORTING = timedelta(minutes=5)
ODDS_FOR = timedelta(minutes=15)
FILES_COUNTED_EVERY = timedelta(minutes=1)
SUSPENDED_AFTER = 5  # failures in a row
# The engine retries its built-in functions after any number of failures; it suspends only others.
BUILT_IN = frozenset({
    "alert", "alert_rules", "alert_trial", "audit", "breach", "calibrate", "cascade", "deliver",
    "drift", "forecast", "function_resume", "function_states", "mark", "message_preview",
    "model_change", "odds", "odds_fit", "quiet_hour", "risk", "rollup", "scenario", "score",
    "training", "warm_start", "what_if",
})  # fmt: skip

_Query = Callable[[Reader, datetime], None]
_Values = defaultdict[str, dict[tuple[str, ...], float]]


class Telemetry:
    """The metrics of one data folder; safe to share between threads."""

    def __init__(self, lake: LakeSession) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._totals = LogTotals()
        self._snapshot: int | None = None
        self._stamps: dict[str, int] | None = None
        self._queried_at: datetime | None = None
        self._parts: tuple[tuple[tuple[str, ...], _Query], ...] = (
            (("segments",), self._totals.update_segments),
            (("runs",), self._totals.update_runs),
            (("metrics", "metrics_5m"), self._query_samples),
            (("server_facts", "deletions"), self._query_servers),
            (("models",), self._query_model),
            (("runs",), self._query_failures),
            (("processes",), self._query_processes),
            (("odds",), self._query_odds),
        )
        self._gathered: dict[str, Any] = {}
        self._files: list[dict[str, Any]] = []
        self._memory: dict[str, float] = {}
        self._files_at: datetime | None = None

    def text(self, now: datetime, access: Values | None = None) -> str:
        """Return all known metrics as of `now`, with those of access, in Prometheus text format."""
        with self._lock:
            values: _Values = defaultdict(dict, {n: dict(v) for n, v in (access or {}).items()})
            state = self._refresh(now)
            for each in STATES:
                values["hoursight_lake_state"][(each,)] = float(each == state)
            values["hoursight_up"][()] = float(state == "ready")
            values["hoursight_build_info"][_build_labels()] = 1
            for name, value in _folder_values(self._lake.folders, now):
                values[name][()] = value
            for name, counts in self._totals.counters.items():
                values[name] = dict(counts)
            if state == "ready":
                self._add_gathered(values, now)
            _add_processes(values, self._gathered.get("processes", []))
            return exposed(MEASURES, values)

    def _refresh(self, now: datetime) -> str:
        """Query again what has changed; return the state of the lake, one of STATES."""
        try:
            with self._lake.snapshot() as reader:
                snapshot = reader.snapshot()
                self._memory = reader.query(sql("telemetry_memory")).to_pylist()[0]
                if snapshot != self._snapshot or self._set_back(now):
                    self._query_changed(reader, snapshot, now)
                if self._files_at is None or abs(now - self._files_at) >= FILES_COUNTED_EVERY:
                    self._files = reader.query(sql("telemetry_files")).to_pylist()
                    self._files_at = now
        except LakeMissing:
            return "missing"
        except (LakeUnreadable, QueryFailed, OSError):
            return "unreadable"
        return "ready"

    def _query_changed(self, reader: Reader, snapshot: int, now: datetime) -> None:
        """Query again the values whose tables changed, as far as the writer announced it."""
        if snapshot < (self._snapshot or 0) or self._set_back(now):
            self._totals.restart()
            self._stamps = None
        stamps = notify.commit_times(self._lake.folders.data)
        known = self._stamps if stamps else None  # no announcements reach another host
        for tables, query in self._parts:
            if known is None or any(stamps.get(name) != known.get(name) for name in tables):
                query(reader, now)
        self._snapshot, self._stamps, self._queried_at = snapshot, stamps, now

    def _set_back(self, now: datetime) -> bool:
        """Return True if this host's clock was ahead at the last query: it read other rows."""
        return self._queried_at is not None and now < self._queried_at

    def _query_samples(self, reader: Reader, now: datetime) -> None:
        latest = reader.latest(now - REPORTING, now)["ts"].to_pylist()
        newest = (
            max(latest) if latest else reader.query(sql("newest_sample"), now=now)["ts"][0].as_py()
        )
        self._gathered |= {"latest": latest, "newest": newest}

    def _query_servers(self, reader: Reader, _: datetime) -> None:
        self._gathered["servers"] = reader.query(sql("telemetry_servers"))["servers"][0].as_py()

    def _query_model(self, reader: Reader, now: datetime) -> None:
        self._gathered["model"] = reader.query(sql("telemetry_model"), now=now).to_pylist()[0]

    def _query_failures(self, reader: Reader, now: datetime) -> None:
        rows = reader.query(sql("telemetry_failures"), now=now).to_pylist()
        self._gathered["failures"] = rows

    def _query_processes(self, reader: Reader, _: datetime) -> None:
        self._gathered["processes"] = reader.query(sql("telemetry_processes")).to_pylist()

    def _query_odds(self, reader: Reader, now: datetime) -> None:
        self._gathered["odds"] = reader.query(sql("telemetry_odds"), now=now).to_pylist()

    def _add_gathered(self, values: _Values, now: datetime) -> None:
        gathered, totals = self._gathered, self._totals
        values["hoursight_servers"][()] = gathered["servers"]
        reporting = sum(at >= now - REPORTING for at in gathered["latest"])
        values["hoursight_servers_reporting"][()] = reporting
        values["hoursight_lake_snapshots_total"][()] = self._snapshot or 0
        if gathered["newest"] is not None:
            values["hoursight_newest_sample_age_seconds"][()] = age_s(gathered["newest"], now)
        for source, at in totals.newest_by_source.items():
            values["hoursight_source_lag_seconds"][(source,)] = age_s(at, now)
        if "forecasts" in totals.newest_by_table:
            forecast_age_s = age_s(totals.newest_by_table["forecasts"], now)
            values["hoursight_forecast_age_seconds"][()] = forecast_age_s
        if gathered["model"]["model"] is not None:
            values["hoursight_model_info"][(gathered["model"]["model"],)] = 1
        values["hoursight_model_refused"][()] = float(gathered["model"]["refused"] or False)
        values["hoursight_query_memory_bytes"][()] = self._memory["used"]
        values["hoursight_query_memory_limit_bytes"][()] = self._memory["most"]
        for row in self._files:
            values["hoursight_lake_files"][(row["table_name"],)] = row["files"]
            values["hoursight_lake_bytes"][(row["table_name"],)] = row["bytes"]
        _add_failures(values, gathered["failures"])
        _add_odds(values, gathered["odds"], now)


def _add_odds(values: _Values, rows: list[dict[str, Any]], now: datetime) -> None:
    """Add the odds that are known: those of a forecast that was withheld or is late vanish."""
    checked: dict[str, bool] = {}
    for row in rows:
        if now - row["issued_at"] > ODDS_FOR:
            continue
        server, metric = row["server"], row["metric"]
        checked[metric] = checked.get(metric, True) and bool(row["checked"])
        for lead in LEAD_MINUTES:
            if (p := row[f"p_{lead}m"]) is not None:
                values["hoursight_breach_probability"][(server, metric, f"{lead}m")] = p
        for bound in ("earliest", "likely", "latest"):
            if (at := row[bound]) is not None:
                left = max(0.0, at - now.timestamp())
                values["hoursight_runway_seconds"][(server, metric, bound)] = left
    for metric, is_checked in checked.items():
        values["hoursight_odds_checked"][(metric,)] = float(is_checked)


def _add_failures(values: _Values, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        values["hoursight_function_failures_in_a_row"][(row["function"],)] = row["failures"]
    suspended = [r for r in rows if r["failures"] >= SUSPENDED_AFTER]
    values["hoursight_functions_suspended"][()] = sum(
        r["function"] not in BUILT_IN for r in suspended
    )


def _add_processes(values: _Values, rows: list[dict[str, Any]]) -> None:
    """Add the logged processes that run on this host, and always the site itself."""
    known = {row["process"]: row for row in rows}
    for name, row in known.items():
        values["hoursight_process_starts_total"][(name,)] = row["starts"]
        values["hoursight_process_up"][(name,)] = float(row["event"] == "started")
    usages = {name: _usage(row) for name, row in known.items() if row["event"] == "started"}
    for name, usage in (usages | {"web": usage_of(os.getpid())}).items():
        if usage is not None:
            values["hoursight_process_resident_memory_bytes"][(name,)] = usage.resident_bytes
            values["hoursight_process_cpu_seconds_total"][(name,)] = usage.cpu_s


def _usage(row: dict[str, Any]) -> Usage | None:
    """Return None when the process runs elsewhere, or its PID belongs to another process."""
    return usage_of(row["pid"]) if running_since(row["pid"], row["ts"]) else None


def _folder_values(folders: Folders, now: datetime) -> Iterator[tuple[str, float]]:
    segments = list(_files(folders.inbox, ".parquet"))
    yield "hoursight_inbox_segments", len(segments)
    yield "hoursight_inbox_bytes", sum(size for size, _ in segments)
    oldest = min((at for _, at in segments), default=now.timestamp())
    yield "hoursight_inbox_oldest_age_seconds", max(0.0, now.timestamp() - oldest)
    yield "hoursight_pending_bytes", sum(size for size, _ in _files(folders.pending, ".push"))
    yield "hoursight_rejected_segments", sum(1 for _ in _files(folders.rejected, ".parquet"))
    yield "hoursight_damaged_files", sum(1 for _ in _files(folders.damaged, ".json"))
    yield from _scrub_values(folders)
    with suppress(OSError):
        committed = notify.last_commit(folders.data, now)
        if committed is not None:
            yield "hoursight_last_commit_timestamp_seconds", committed.timestamp()


def _scrub_values(folders: Folders) -> Iterator[tuple[str, float]]:
    state = read_scrub_state(folders)
    if state is not None:
        yield "hoursight_scrub_checked_bytes", state.bytes
        yield "hoursight_scrub_total_bytes", state.total_bytes
        if state.last_round_ended is not None:
            ended = state.last_round_ended.timestamp()
            yield "hoursight_scrub_last_round_timestamp_seconds", ended


def _files(folder: Path, suffix: str) -> Iterator[tuple[int, float]]:
    """Yield size [bytes] and modification time [s] of the files; nothing for a missing folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(suffix):
                with suppress(FileNotFoundError):  # the writer has just committed it
                    stat = entry.stat()
                    yield stat.st_size, stat.st_mtime


def _build_labels() -> tuple[str, str]:
    try:
        version = metadata.version("hoursight")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        version = "unknown"
    return version, platform.python_version()
