"""System status: problems of Hoursight itself with their remedies, and recent outages."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from storage.config.folders import Folders
from storage.config.settings import schema_of
from storage.inbox import notify
from storage.lake.file_health import damage_records
from storage.model.severity import AlertLevel
from storage.model.time_limits import age_s
from storage.platform.durability import disk_state
from storage.query.reader import Reader
from web.display import formatting
from web.display.problems import MISSING, Problem
from web.display.process_health import process_health
from web.kept_results import KeptResults
from web.lake_session import sql

__all__ = [
    "STALE_SECONDS", "Outage", "SystemStatus", "damage_problem", "disk_problems", "system_status",
    "writer_problem",
]  # fmt: skip

STALE_SECONDS = 60
WRITER_SILENT = timedelta(seconds=30)
# A younger segment is probably being committed right now.
SEGMENT_OVERDUE = timedelta(seconds=5)
MAX_OUTAGES = 5
LOW_BYTES = 1_000_000_000

MISSED = {
    "writer": "segments waited in the inbox and nothing was lost",
    "collector": "no samples came in meanwhile",
    "engine": "no roll-ups, forecasts and risks were made meanwhile",
    "trainer": "a training that was due waited meanwhile",
    "web": "this site could not be reached meanwhile",
}


@dataclass(frozen=True, slots=True)
class Outage:
    """A process that ended; `back_at` is None while it is down."""

    process: str
    ended_at: datetime
    back_at: datetime | None
    detail: str

    def sentence(self, now: datetime) -> str:
        """Return what was down, for how long, and what was missed."""
        when = formatting.clock(self.ended_at, now)
        how = f" ({self.detail})" if self.detail else ""
        if self.back_at is None:
            return f"{self.process} is down since {when}{how}"
        lasted = formatting.duration((self.back_at - self.ended_at).total_seconds())
        missed = MISSED.get(self.process, "its work waited meanwhile")
        return f"{self.process} was down for {lasted} at {when}{how}: {missed}"


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """The system as of `now`; `outages` are those that are over, newest first."""

    now: datetime
    newest_sample: datetime | None
    last_commit: datetime | None
    pending_segments: int
    problems: tuple[Problem, ...]
    outages: tuple[Outage, ...]
    model_refused: bool

    @property
    def outage_lines(self) -> tuple[str, ...]:
        """A sentence for each of the newest outages, and the number of the others."""
        lines = tuple(outage.sentence(self.now) for outage in self.outages[:MAX_OUTAGES])
        more = len(self.outages) - MAX_OUTAGES
        return (*lines, f"and {more} more") if more > 0 else lines

    @property
    def summary(self) -> str:
        """The number of problems in words."""
        if not self.problems:
            return "All systems operational"
        return "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"


def system_status(
    reader: Reader, folders: Folders, now: datetime, kept: KeptResults | None = None
) -> SystemStatus:
    """Return the status of the system from one snapshot of the lake and the data folder.

    `kept` has results of earlier calls that still hold.
    """
    read = partial(_read, reader, kept or KeptResults(), now)
    newest = read("newest_sample", ["metrics", "metrics_5m"], now=now)[0]["ts"]
    outages = [_outage(row) for row in read("outages", ["processes"], now=now)]
    refusal = _model_refusal(read("model", ["models"], now=now)[0]["newest"])
    latest = now + schema_of(folders).times.max_ahead
    (ahead,) = read("samples_ahead", ["metrics"], latest=latest)
    problems = [
        *_model_problem(refusal),
        *disk_problems(folders),
        *_process_problems(outages, now),
        *process_health(read("telemetry_processes", ["processes"]), folders, now),
        *writer_problem(folders, now),
        *_stale_problem(newest, now),
        *_clock_problem(ahead, now),
        *damage_problem(folders),
    ]
    return SystemStatus(
        now, newest, notify.last_commit(folders.data, now), notify.pending_segments(folders.data),
        tuple(problems), tuple(o for o in outages if o.back_at), refusal is not None,
    )  # fmt: skip


def _read(
    reader: Reader, kept: KeptResults, at: datetime, name: str, tables: list[str], /,
    **parameters: datetime,
) -> list[dict[str, Any]]:  # fmt: skip
    return kept.read(
        reader, name, tables, at, lambda: reader.query(sql(name), **parameters).to_pylist()
    )


def writer_problem(folders: Folders, now: datetime) -> Iterator[Problem]:
    """Yield a problem when segments wait and nothing commits them; needs no lake."""
    pending = notify.pending_segments(folders.data)
    committed = notify.last_commit(folders.data, now)
    if not pending or (committed is not None and now - committed <= WRITER_SILENT):
        return
    if now - _oldest_segment(folders, now) < SEGMENT_OVERDUE:
        return
    since = formatting.duration((now - committed).total_seconds()) if committed else ""
    last = f"No commit for {since}" if since else "No commit so far"
    noun = "segment waits" if pending == 1 else "segments wait"
    yield Problem(
        "writer", AlertLevel.CRITICAL, f"{last}; {pending} {noun} in the inbox",
        "Check whether the writer process is running, and its log. Nothing is lost: the segments "
        "are committed as soon as it runs again.",
    )  # fmt: skip


def disk_problems(folders: Folders) -> Iterator[Problem]:
    """Yield a problem when the disk cannot be written, or is nearly full; needs no lake."""
    known = disk_state(folders.data)
    if known is not None:
        yield Problem(
            "disk", AlertLevel.CRITICAL, f"Nothing can be stored: {known.message}",
            f"{formatting.sentence(known.remedy)}. What was accepted is kept, and senders are "
            "asked to send again.",
        )  # fmt: skip
        return
    free = shutil.disk_usage(folders.data).free
    if free < LOW_BYTES:
        yield Problem(
            "disk", AlertLevel.WARNING, f"The disk is nearly full: {formatting.size(free)} free",
            "Make room: the page Settings says what takes how much, and [retention] how long "
            "samples are kept.",
        )  # fmt: skip


def _oldest_segment(folders: Folders, now: datetime) -> datetime:
    times = [now.timestamp()]
    for segment in folders.inbox.glob("*.parquet"):
        try:
            times.append(segment.stat().st_mtime)
        except FileNotFoundError:  # the writer has just committed it
            continue
    return datetime.fromtimestamp(min(times), UTC)


def _model_problem(refusal: dict[str, Any] | None) -> Iterator[Problem]:
    if refusal is None:
        return
    yield Problem(
        "model", AlertLevel.CRITICAL,
        f"No forecasts: the model {refusal['path'] or refusal['model'] or 'file'} was refused",
        "Replace the file with a compatible model, or remove the file to use the model shipped "
        "with Hoursight. Until then scores reflect the present only.",
        refusal["detail"] or "no reason was given",
    )  # fmt: skip


def _process_problems(outages: Iterable[Outage], now: datetime) -> Iterator[Problem]:
    for outage in outages:
        if outage.back_at is None:
            missing = MISSING.get(outage.process, "its work is delayed")
            yield Problem(
                f"process-{outage.process}", AlertLevel.CRITICAL, outage.sentence(now),
                f"Meanwhile {missing}. 'hoursight up' and 'hoursight demo' restart it "
                "automatically; if it stays down, check its log.",
            )  # fmt: skip


def _stale_problem(newest: datetime | None, now: datetime) -> Iterator[Problem]:
    if newest is None or age_s(newest, now) <= STALE_SECONDS:
        return
    yield Problem(
        "stale",
        AlertLevel.WARNING,
        f"The newest sample is {formatting.duration((now - newest).total_seconds())} old "
        f"({formatting.clock(newest, now)}): this page does not show the present",
        "Check whether the collector process is running and whether its sources answer.",
    )


def _clock_problem(ahead: dict[str, Any], now: datetime) -> Iterator[Problem]:
    if not ahead["servers"]:
        return
    count = ahead["servers"]
    servers = "1 server has" if count == 1 else f"{count} servers have"
    by = formatting.duration((ahead["last"] - now).total_seconds())
    yield Problem(
        "clock",
        AlertLevel.WARNING,
        f"Samples of {servers} times up to {by} ahead of the clock",
        "This host's clock was ahead when they came. Pages, forecasts and alerts leave them out "
        f"until {formatting.clock(ahead['last'], now)}. Check that the host keeps its time by NTP.",
    )


def damage_problem(folders: Folders) -> Iterator[Problem]:
    """Yield a problem while damaged files of the lake lie aside; needs no lake."""
    records = damage_records(folders)
    if records:
        noun = "file of the lake was" if len(records) == 1 else "files of the lake were"
        more = f", and {len(records) - 1} more" if len(records) > 1 else ""
        yield Problem(
            "damaged", AlertLevel.WARNING,
            f"{len(records)} {noun} damaged and put aside: the rows are missing",
            "Check the disk. 'hoursight verify --recover --backup FILE' takes the rows from a "
            f"backup. Remove {folders.damaged} when you do not need the files any more.",
            f"{records[-1]}{more}",
        )  # fmt: skip


def _model_refusal(event: dict[str, Any] | None) -> dict[str, Any] | None:
    return event if event and event["event"] == "refused" else None


def _outage(row: dict[str, Any]) -> Outage:
    return Outage(row["process"], row["ended_at"], row["back_at"], row["detail"] or "")
