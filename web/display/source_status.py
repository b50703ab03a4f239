"""Source status: what each source brings, its lag, gaps, back-fill and errors, from the lake."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from storage.query.reader import Reader
from web.display import formatting
from web.lake_session import sql

__all__ = ["Backfill", "SampleGap", "SourceStatus", "read_sources"]

LATE_SECONDS = 60
FETCHES_AT_LEAST_EVERY = timedelta(seconds=90)  # a run may take its whole deadline of 60 s
FASTER_THAN_TIME = 2.0
TROUBLES = frozenset(
    {"failed", "crashed", "timed out", "out of memory", "unreachable", "not written"}
)
Mood = Literal["critical", "warning", "good"]


@dataclass(frozen=True, slots=True)
class SampleGap:
    """A time of which there are no samples."""

    since: datetime
    until: datetime

    def words(self, now: datetime) -> str:
        """The hole in a sentence."""
        lasted = formatting.span((self.until - self.since).total_seconds())
        since, until = formatting.clock(self.since, now), formatting.clock(self.until, now)
        return f"no samples from {since} to {until} ({lasted})"


@dataclass(frozen=True, slots=True)
class Backfill:
    """A fetch of what a source held before: from when, up to when, and how fast."""

    since: datetime
    reached: datetime
    pace: float | None  # seconds of it in a second

    def share(self, now: datetime) -> float:
        """Return the share of the span from `since` to now that has been fetched, 0 to 1."""
        return min(1.0, (self.reached - self.since) / (now - self.since))

    def words(self, now: datetime) -> str:
        """How far it is, in a sentence."""
        done = self.share(now)
        told = f"fetching what came before: at {formatting.clock(self.reached, now)}, {done:.0%}"
        if self.pace is None or self.pace <= 1:
            return told
        left_s = (now - self.reached).total_seconds() / (self.pace - 1)
        return f"{told}, about {formatting.span(left_s)} left"


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
    refusals: tuple[str, ...]
    outcome: str | None
    error: str | None
    well_at: datetime | None
    holes: tuple[SampleGap, ...]
    catching_up: Backfill | None = None

    @property
    def lag_seconds(self) -> float | None:
        """Age of the newest sample."""
        if self.last_sample is None:
            return None
        return (self.now - self.last_sample).total_seconds()

    @property
    def mood(self) -> Mood:
        """How bad it is."""
        if self.event == "refused" or self.outcome in TROUBLES:
            return "critical"
        if self.catching_up is not None:
            return "good"
        late = self.lag_seconds is None or self.lag_seconds > LATE_SECONDS
        return "warning" if late and self.event != "off" and self.kind != "files" else "good"

    @property
    def words(self) -> str:
        """How it fares, in a sentence."""
        if self.event == "off":
            return f"off: {self.detail or 'its file was removed, or says enabled = false'}"
        if self.event == "refused":
            running = "; its last good version runs" if self.well_at else ""
            return f"its file is refused{running}: {_plain(self.detail)}"
        if self.outcome in TROUBLES:
            since = f" since {formatting.clock(self.well_at, self.now)}" if self.well_at else ""
            return f"{self.outcome}{since}: {_plain(self.error)}"
        if self.catching_up is not None:
            return self.catching_up.words(self.now)
        if self.last_sample is None:
            return "it answers, and has brought no sample yet"
        if self.mood == "warning":
            return "it answers, and has nothing newer"
        return "well"


def _plain(error: str | None) -> str:
    """An error of ours without the name of its class: it was made for people."""
    return re.sub("^(Unreachable|SourceInvalid|SourceWrong): ", "", error or "no reason was given")


def read_sources(reader: Reader, now: datetime) -> tuple[SourceStatus, ...]:
    """Every source that the ledgers know, those in trouble first."""
    order = {"critical": 0, "warning": 1, "good": 2}
    found = [_stands(row, now) for row in reader.query(sql("sources"), now=now).to_pylist()]
    return tuple(sorted(found, key=lambda s: (order[s.mood], s.source)))


def _stands(row: dict[str, Any], now: datetime) -> SourceStatus:
    holes = tuple(SampleGap(hole["since"], hole["until"]) for hole in row["holes"] or ())
    return SourceStatus(
        now, row["source"], row["kind"] or "built in", row["event"], row["detail"],
        row["last_sample"], row["rows_per_min"] or 0.0, row["rows_24h"] or 0,
        row["refused_24h"] or 0, tuple(row["refusals"] or ()), row["outcome"], row["error"],
        row["well_at"], holes, _catching_up(row, now),
    )  # fmt: skip


def _catching_up(row: dict[str, Any], now: datetime) -> Backfill | None:
    """Only while rows come that are old, and faster than time goes by; files are always old."""
    if row["kind"] == "files" or row["behind_at"] is None or row["event"] == "off":
        return None
    late = now - row["last_sample"] > timedelta(seconds=LATE_SECONDS)
    if not late or now - row["behind_at"] > FETCHES_AT_LEAST_EVERY:
        return None
    pace: float | None = row["pace"]
    just_begun = pace is None and now - row["behind_since"] < FETCHES_AT_LEAST_EVERY
    if just_begun or (pace or 0) >= FASTER_THAN_TIME:
        return Backfill(row["behind_from"], row["last_sample"], pace)
    return None
