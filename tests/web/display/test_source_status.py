"""Status of a source: alert level, summary, gaps and backfill."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.model.severity import AlertLevel
from tests.web.pages.test_sources_page import SourceLog
from tests.web.site_lakes import SiteLakeWriter
from web.display.source_status import Backfill, SampleGap, SourceStatus, read_sources
from web.lake_session import LakeSession

NOW = datetime(2026, 3, 1, 2, 10, tzinfo=UTC)


def source(age_s: float | None = 3, **values: Any) -> SourceStatus:
    """A source that works, but for VALUES."""
    last = None if age_s is None else NOW - timedelta(seconds=age_s)
    fields: dict[str, Any] = {
        "now": NOW, "source": "shop", "kind": "mongodb", "event": "live", "detail": None,
        "last_sample": last, "rows_per_min": 10.0, "rows_24h": 50, "refused_24h": 0,
        "repeated_24h": 0, "refusals": (), "outcome": "ok", "error": None, "last_success": NOW,
        "gaps": (),
    }  # fmt: skip
    return SourceStatus(**(fields | values))


@pytest.mark.parametrize(
    ("status", "level", "summary"),
    [
        (source(), "ok", "Operational"),
        (source(61), "warning", "Connected, no new samples"),
        (source(None), "warning", "Connected, no samples yet"),
        (source(900, kind="files"), "ok", "Operational"),
        (source(900, event="off", detail=None), "ok",
         "Disabled: its file was removed or has enabled = false"),
        (source(event="refused", detail="SourceInvalid: bad key", last_success=None), "critical",
         "Invalid configuration file: bad key"),
        (source(event="refused", detail="bad key"), "critical",
         "Invalid configuration file; the last valid version is running: bad key"),
        (source(outcome="timed out", error=None, last_success=None), "critical",
         "Timed out: no reason was given"),
        (source(outcome="unreachable", error="Unreachable: no route"), "critical",
         "Unreachable since 02:10:00 UTC: no route"),
    ],
)  # fmt: skip
def test_level_and_summary_of_each_state(status: SourceStatus, level: str, summary: str) -> None:
    assert (status.level, status.summary) == (level, summary)


def test_a_backfill_is_not_a_problem_although_samples_are_old() -> None:
    old = NOW - timedelta(days=1)
    status = source(86_400, backfill=Backfill(old - timedelta(days=3), old, None))
    assert status.level == AlertLevel.OK
    assert status.summary == "Loading history, up to 28 Feb 02:10 UTC (75 %)"


def test_a_backfill_estimates_its_end_from_its_speed() -> None:
    backfill = Backfill(NOW - timedelta(hours=2), NOW - timedelta(hours=1), 61.0)
    assert backfill.sentence(NOW).endswith("(50 %), about 1 min left")
    slow = Backfill(NOW - timedelta(hours=2), NOW - timedelta(hours=1), 1.0)
    assert "left" not in slow.sentence(NOW)


def test_a_gap_has_start_end_and_duration() -> None:
    gap = SampleGap(NOW - timedelta(hours=2), NOW - timedelta(minutes=50))
    assert gap.sentence(NOW) == "no samples from 00:10:00 UTC to 01:20:00 UTC (1 h 10 min)"


def test_sources_with_problems_come_first_then_by_name(lake: SiteLakeWriter) -> None:
    log = SourceLog(lake)
    for name in ("b", "a"):
        log.committed(name, 20, 5)
    log.committed("late", 700, 600)
    log.file("typo", "refused")
    with LakeSession(lake.folders.data).snapshot() as reader:
        names = [each.source for each in read_sources(reader, log.now)]
    assert names == ["typo", "late", "a", "b"]
