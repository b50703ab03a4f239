"""Source status: what each source brings, its lag, gaps, backfill and errors, from the lake."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from storage.config.settings import schema_of
from storage.model.reject_log import TWO_SENDERS
from storage.model.severity import AlertLevel
from storage.model.time_limits import age_s
from storage.query.reader import Reader
from web.display import formatting
from web.lake_session import sql

__all__ = ["Backfill", "SampleGap", "SourceStatus", "read_sources", "source_rows"]

LATE_SECONDS = 60
TWO_SENDERS_BEGIN = TWO_SENDERS.partition("{")[0]
MAX_FETCH_INTERVAL = timedelta(seconds=90)  # a run may take its whole deadline of 60 s
# A source that advances at about the speed of time is merely late; a faster one is backfilling.
MIN_BACKFILL_SPEED = 2.0
FAILURES = frozenset(
    {"failed", "crashed", "timed out", "out of memory", "unreachable", "not written"}
)


@dataclass(frozen=True, slots=True)
class SampleGap:
    """A period without samples."""

    since: datetime
    until: datetime

    def sentence(self, now: datetime) -> str:
        """Return the gap with its start, end and duration."""
        lasted = formatting.duration((self.until - self.since).total_seconds())
        since, until = formatting.clock(self.since, now), formatting.clock(self.until, now)
        return f"no samples from {since} to {until} ({lasted})"


@dataclass(frozen=True, slots=True)
class Backfill:
    """Progress of a source that loads old samples; `speed` is seconds of data per second."""

    since: datetime
    reached: datetime
    speed: float | None

    def share(self, now: datetime) -> float:
        """Return the share of the period from `since` to now that is loaded, 0 to 1."""
        return min(1.0, (self.reached - self.since) / (now - self.since))

    def sentence(self, now: datetime) -> str:
        """Return how far it is and how long it will take."""
        reached = formatting.clock(self.reached, now)
        text = f"Loading history, up to {reached} ({formatting.percent(self.share(now))})"
        if self.speed is None or self.speed <= 1:
            return text
        left_s = (now - self.reached).total_seconds() / (self.speed - 1)
        return f"{text}, about {formatting.duration(left_s)} left"


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source as of `now`."""

    now: datetime
    source: str
    kind: str
    event: str | None
    detail: str | None
    last_sample: datetime | None
    rows_per_min: float
    rows_24h: int
    refused_24h: int
    repeated_24h: int  # values that the lake had already
    refusals: tuple[str, ...]
    outcome: str | None
    error: str | None
    last_success: datetime | None
    gaps: tuple[SampleGap, ...]
    backfill: Backfill | None = None
    conflicts: tuple[str, ...] = ()
    clamped_24h: int = 0

    @property
    def lag_seconds(self) -> float | None:
        """Age of the newest sample; None without one."""
        if self.last_sample is None:
            return None
        return age_s(self.last_sample, self.now)

    @property
    def level(self) -> AlertLevel:
        """Critical when its file is invalid or its last run failed, warning when it is late."""
        if self.event == "refused" or self.outcome in FAILURES:
            return AlertLevel.CRITICAL
        if self.backfill is not None or self.event == "off" or self.kind == "files":
            return AlertLevel.OK
        late = self.lag_seconds is None or self.lag_seconds > LATE_SECONDS
        return AlertLevel.WARNING if late else AlertLevel.OK

    @property
    def summary(self) -> str:
        """The state of the source in one sentence."""
        if self.event == "off":
            return f"Disabled: {self.detail or 'its file was removed or has enabled = false'}"
        if self.event == "refused":
            running = "; the last valid version is running" if self.last_success else ""
            return f"Invalid configuration file{running}: {_without_class(self.detail)}"
        if self.outcome in FAILURES:
            return f"{self._failure()}: {_without_class(self.error)}"
        if self.backfill is not None:
            return self.backfill.sentence(self.now)
        if self.last_sample is None:
            return "Connected, no samples yet"
        if self.level == AlertLevel.WARNING:
            return "Connected, no new samples"
        return "Operational"

    def _failure(self) -> str:
        outcome = formatting.sentence(self.outcome or "")
        if self.last_success is None:
            return outcome
        return f"{outcome} since {formatting.clock(self.last_success, self.now)}"


def _without_class(error: str | None) -> str:
    """Return the message of an error without the name of its class."""
    return re.sub("^(Unreachable|SourceInvalid|SourceWrong): ", "", error or "no reason was given")


def read_sources(reader: Reader, now: datetime) -> tuple[SourceStatus, ...]:
    """Return every source that the logs name, those with problems first."""
    sources = [_source_status(row, now) for row in source_rows(reader, now).to_pylist()]
    return tuple(sorted(map(_conflicts_apart, sources), key=lambda s: (s.level.order, s.source)))


def source_rows(reader: Reader, now: datetime) -> pa.Table:
    """Return a row for each source, as /sources.json has it."""
    latest = now + schema_of(reader.folders).times.max_ahead
    return reader.query(sql("sources"), now=now, latest=latest)


def _conflicts_apart(status: SourceStatus) -> SourceStatus:
    """`status` with the conflicts of its senders apart from refusals."""
    conflicts = tuple(each for each in status.refusals if each.startswith(TWO_SENDERS_BEGIN))
    refusals = tuple(each for each in status.refusals if each not in conflicts)
    return replace(status, refusals=refusals, conflicts=conflicts)


def _source_status(row: dict[str, Any], now: datetime) -> SourceStatus:
    gaps = tuple(SampleGap(gap["since"], gap["until"]) for gap in row["holes"] or ())
    return SourceStatus(
        now, row["source"], row["kind"] or "built in", row["event"], row["detail"],
        row["last_sample"], row["rows_per_min"] or 0.0, row["rows_24h"] or 0,
        row["refused_24h"] or 0, row["repeated_24h"] or 0, tuple(row["refusals"] or ()),
        row["outcome"], row["error"], row["well_at"], gaps, _backfill(row, now),
        clamped_24h=row["clamped_24h"] or 0,
    )  # fmt: skip


def _backfill(row: dict[str, Any], now: datetime) -> Backfill | None:
    """Return the backfill while old rows arrive faster than real time; files are always old."""
    if row["kind"] == "files" or row["behind_at"] is None or row["event"] == "off":
        return None
    late = now - row["last_sample"] > timedelta(seconds=LATE_SECONDS)
    if not late or now - row["behind_at"] > MAX_FETCH_INTERVAL:
        return None
    speed: float | None = row["pace"]
    just_begun = speed is None and now - row["behind_since"] < MAX_FETCH_INTERVAL
    if just_begun or (speed or 0) >= MIN_BACKFILL_SPEED:
        return Backfill(row["behind_from"], row["last_sample"], speed)
    return None
