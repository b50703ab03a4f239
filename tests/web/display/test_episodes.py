"""Episodes in words: time to act, who has it, and the record."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from web.display.episodes import OpenEpisode, Record, metric_label, metric_value

NOW = datetime(2026, 5, 6, 1, 12, tzinfo=UTC)
ROW: dict[str, Any] = {
    "episode": "e1", "severity": "Warning", "metric": "mem_used_pct", "phase": "predicted",
    "value": 82.0, "newest_value": None, "threshold": 95.0, "p": 0.4, "p_now": None,
    "horizon_minutes": 60, "checked": True, "earliest": None, "likely": None, "latest": None,
    "odds_earliest": None, "odds_likely": None, "odds_latest": None, "breached_at": None,
    "answer": None, "answer_by": None, "answer_at": None, "escalation": 0, "closes_at": None,
}  # fmt: skip


def shown(**changes: Any) -> OpenEpisode:
    return OpenEpisode(ROW | changes, NOW)


def after(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"phase": "breached"}, "Act now"),
        ({"earliest": after(40)}, "Act within 40 min"),
        ({"likely": after(90)}, "Act within 1 h 30 min"),
        ({"earliest": after(40), "odds_earliest": after(20)}, "Act within 20 min"),
        ({"earliest": after(-5)}, "Act now"),
        ({}, "Look within 1 h"),
        ({"severity": "of an earlier version"}, "Look when you can"),
    ],
)
def test_the_time_to_act_is_that_until_the_earliest_breach(
    changes: dict[str, Any], expected: str
) -> None:
    assert shown(**changes).act_text == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Memory used is 82.0 % and may reach 95.0 %: 40 % within 1 h"),
        ({"p_now": 0.625, "newest_value": 90.0, "checked": None},
         "Memory used is 90.0 % and may reach 95.0 %: 62 % within 1 h, not yet checked on "
         "breaches of this fleet"),
        ({"p": None}, "Memory used is 82.0 % and may reach 95.0 %"),
        ({"phase": "breached", "value": 97.0, "breached_at": after(-7)},
         "Memory used is 97.0 %; it reached its level of 95.0 % 7 min ago"),
        ({"metric": None}, "No sample arrives any more"),
        ({"metric": "<own>", "p": None}, "<own> is 82.0 and may reach 95.0"),
    ],
)  # fmt: skip
def test_a_sentence_says_what_is_the_case_and_the_newest_odds(
    changes: dict[str, Any], expected: str
) -> None:
    assert (
        shown(**changes)
        .sentence.replace("82 %", "82.0 %")
        .replace("95 %", "95.0 %")
        .replace("90 %", "90.0 %")
        .replace("97 %", "97.0 %")
        == expected
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"earliest": after(40), "likely": after(80), "latest": after(170)},
         "earliest 01:52 UTC, likely 02:32 UTC, latest 04:02 UTC"),
        ({"earliest": after(40)}, "earliest 01:52 UTC, perhaps not within 8 h"),
        ({"phase": "breached", "earliest": after(40)}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_expected_times_are_named_as_far_as_they_are_known(
    changes: dict[str, Any], expected: str
) -> None:
    assert shown(**changes).times_text == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Nobody yet"),
        ({"escalation": 2}, "Nobody yet; escalated 2×"),
        ({"answer": "acting", "answer_by": "alice", "answer_at": after(-3)},
         "alice acts on it, 3 min ago"),
        ({"answer": "acknowledged", "answer_at": after(-3)}, "Somebody acknowledged it, 3 min ago"),
    ],
)  # fmt: skip
def test_it_says_who_has_it(changes: dict[str, Any], expected: str) -> None:
    assert shown(**changes).owner_text == expected


def test_the_record_names_its_misses_also_when_there_are_none() -> None:
    record = Record(NOW, 17, 12, 3, 0, 2, 0, 1, 4, 52.0)
    assert record.sentence == (
        "Warned 17: 12 right, 3 wrong, 2 averted; missed 1; median lead 52 min."
    )
    assert Record(NOW, 0, 0, 0, 0, 0, 0, 0, 0, None).sentence == (
        "Warned 0: 0 right, 0 wrong; missed 0."
    )


def test_an_own_metric_has_its_name_and_no_unit() -> None:
    assert (metric_label("queue<x>"), metric_value("queue<x>", 12.0)) == ("queue<x>", "12.0")
    assert metric_label(None) == "No data"
