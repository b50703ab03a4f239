"""The monthly report: which month, and what its sentences say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.display.episodes import Record
from web.display.report import Month, MonthInvalid, Report, month_called

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
NOVEMBER = Month(datetime(2026, 11, 1, tzinfo=UTC))
RECORD = Record(NOVEMBER.since, 17, 12, 3, 0, 2, 0, 1, 4, 52.0)
TOTAL: dict[str, Any] = {
    "metric": None, "targets": 12_345, "accuracy": 0.891, "inside_50": 0.5, "inside_80": 0.796,
    "inside_96": 0.96, "inside_80_model": 0.71, "seasonal_skill": 0.3, "skill": 0.2, "blind": 0.004,
    "servers": 20, "hours": 600, "first_hour": NOVEMBER.since, "last_hour": NOW,
}  # fmt: skip
METRICS = [TOTAL | {"metric": "mem_used_pct"}, TOTAL | {"metric": "<b>", "seasonal_skill": -0.1}]
EPISODE = {
    "episode": "e1", "server": "<b>", "metric": "mem_used_pct", "outcome": "missed",
    "opened_at": NOW, "breached_at": NOW, "ended_at": NOW, "lead_minutes": None, "why": "<b>",
}  # fmt: skip
DOWN = {"process": "engine", "outages": 2, "down_s": 3600.0}
REPORT = Report(NOVEMBER, NOW, TOTAL, METRICS, RECORD, [EPISODE], [DOWN])


def test_the_promises_are_said_with_what_came_of_them() -> None:
    assert REPORT.sentences == [
        "89.1 % of the medians were within 10 % of the scale: the goal of 88 % was reached.",
        "80 % bands held 79.6 % of the values, before calibration 71.0 %.",
        "Better than yesterday's value in 1 of 2 metrics.",
        "Warned 17: 12 right, 3 wrong, 2 averted; missed 1; median lead 52 min.",
        "No forecast was served for 0.4 % of the time of all metrics.",
        "The loop ran 99.85 % of the time, and was down for 1 h.",
    ]
    assert not REPORT.is_complete


def test_a_month_without_scores_promises_nothing() -> None:
    assert Report(NOVEMBER, NOW, None, [], RECORD, [], []).sentences == []


def test_a_month_that_is_over_ends_with_it_and_one_to_come_did_not_run() -> None:
    later = NOVEMBER.until + timedelta(days=3)
    over = Report(NOVEMBER, later, TOTAL, METRICS, RECORD, [], [])
    assert (over.is_complete, over.ends_at) == (True, datetime(2026, 12, 1, tzinfo=UTC))
    assert over.uptime_text == "The loop ran 100.00 % of the time."
    ahead = Report(month_called("2027-01", NOW), NOW, None, [], RECORD, [], [])
    assert ahead.uptime_text == "The loop did not run."


@pytest.mark.parametrize(
    "text", ["May", "2026-13", "2026-00", "2026-1", "0000-01", "9999-12", "<b>"]
)
def test_what_is_not_a_month_is_refused_in_words(text: str) -> None:
    with pytest.raises(MonthInvalid, match="is not a valid month \\(expected for example '2026"):
        month_called(text, NOW)


@given(st.integers(0, 20_000))
def test_months_follow_each_other_without_a_gap(days: int) -> None:
    at = NOW + timedelta(days=days)
    month = month_called(f"{at:%Y-%m}", NOW)
    assert month.since <= at < month.until
    assert month.before.until == month.since
    assert month_called("", at) == month
