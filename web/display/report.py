"""The monthly report: which promises were kept, as sentences and tables."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.errors import HoursightError
from storage.query.reader import Reader
from web.display import formatting
from web.display.episodes import Record, record_of
from web.display.trust import ACCURACY_GOAL, share
from web.lake_session import sql

__all__ = ["QUERIES", "Month", "MonthInvalid", "Report", "month_called", "read_report"]

_MONTH = re.compile(r"(\d{4})-(\d{2})")
_LOOP = ("writer", "engine")  # without these no forecast and no warning is made
QUERIES = ("report_scores", "report_outages", "report_episodes", "alerts_record")


class MonthInvalid(HoursightError):
    """A text is not a valid month."""


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the calendar, in UTC."""

    since: datetime

    @property
    def until(self) -> datetime:
        """The start of the next month."""
        return (self.since + timedelta(days=32)).replace(day=1)

    @property
    def before(self) -> "Month":
        """The month before."""
        return Month((self.since - timedelta(days=1)).replace(day=1))

    @property
    def name(self) -> str:
        """As a link has it: `2026-11`."""
        return f"{self.since:%Y-%m}"

    @property
    def title(self) -> str:
        """As a heading has it: `November 2026`."""
        return f"{self.since:%B %Y}"


def month_called(text: str, now: datetime) -> Month:
    """Return the month of a text such as `2026-11`; that of `now` for an empty one.

    Raises MonthInvalid.
    """
    if not text:
        return Month(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    match = _MONTH.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 12 or not 1970 <= int(match[1]) <= 9000:
        raise MonthInvalid(f"{text[:40]!r} is not a valid month (expected for example '2026-11')")
    return Month(datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Report:
    """A month as the lake has it at `now`; `metrics` are rows of `web/sql/report_scores.sql`."""

    month: Month
    now: datetime
    total: Mapping[str, Any] | None
    metrics: Sequence[Mapping[str, Any]]
    record: Record
    episodes: Sequence[Mapping[str, Any]]
    outages: Sequence[Mapping[str, Any]]

    @property
    def ends_at(self) -> datetime:
        """The end of the time that it covers."""
        return min(self.month.until, self.now)

    @property
    def is_complete(self) -> bool:
        """Whether the month is over."""
        return self.now >= self.month.until

    @property
    def sentences(self) -> list[str]:
        """The promises and whether they were kept, a sentence each; empty without any score."""
        total = self.total
        if total is None:
            return []
        reached = (total["accuracy"] or 0) >= ACCURACY_GOAL
        better = sum((row["seasonal_skill"] or 0) > 0 for row in self.metrics)
        return [
            f"{share(total['accuracy'])} of the medians were within 10 % of the scale: the goal of "
            f"{share(ACCURACY_GOAL, 0)} was {'reached' if reached else 'not reached'}.",
            f"80 % bands held {share(total['inside_80'])} of the values, before calibration "
            f"{share(total['inside_80_model'])}.",
            f"Better than yesterday's value in {better} of {len(self.metrics)} metrics.",
            self.record.sentence,
            f"No forecast was served for {share(total['blind'])} of the time of all metrics.",
            self.uptime_text,
        ]

    @property
    def uptime_text(self) -> str:
        """How long the loop ran, in words."""
        began = self.total["first_hour"] if self.total else self.month.since
        span = (self.ends_at - max(began, self.month.since)).total_seconds()
        down = max((row["down_s"] for row in self.outages if row["process"] in _LOOP), default=0.0)
        if span <= 0:
            return "The loop did not run."
        kept = share(max(0.0, 1 - down / span), 2)
        outage = f", and was down for {formatting.duration(down)}" if down else ""
        return f"The loop ran {kept} of the time{outage}."


def read_report(reader: Reader, month: Month, now: datetime) -> Report:
    """Return the report of a month as of `now`."""
    span = {"since": month.since, "until": month.until, "now": now}
    rows = {name: reader.query(sql(name), **span).to_pylist() for name in QUERIES}
    scores = [row for row in rows["report_scores"] if row["targets"]]
    total = next((row for row in scores if row["metric"] is None), None)
    return Report(
        month, now, total, [row for row in scores if row["metric"] is not None],
        record_of(rows["alerts_record"][0]), rows["report_episodes"], rows["report_outages"],
    )  # fmt: skip
