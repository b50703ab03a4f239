from datetime import timedelta

import pytest

from functions.rules.alerts.words import (
    amount,
    breached_words,
    listed,
    odds_words,
    period,
    warning_words,
)
from tests.functions.rules.alerts.scenes import T0, breached, minutes, warned


@pytest.mark.parametrize(
    ("p", "lead", "words"),
    [
        (0.34, 60, "34 % within 1 h"),
        (0.005, 30, "0.5 % within 30 min"),
        (0.999, 480, "99.9 % within 8 h"),
        (None, 60, "no odds"),
    ],
)
def test_odds_are_percent_within_a_time(p: float | None, lead: int, words: str) -> None:
    assert odds_words(p, lead) == words


@pytest.mark.parametrize(
    ("metric", "value", "words"),
    [
        ("mem_used_pct", 98.25, "98.2 %"), ("back_close_wait", 1234.5, "1234 sockets"),
        ("queue", 3.0, "3"), ("mem_used_pct", None, "unknown"),
    ],
)  # fmt: skip
def test_values_have_their_unit(metric: str, value: float | None, words: str) -> None:
    assert amount(metric, value) == words


def test_periods_are_hours_and_minutes() -> None:
    lengths = [timedelta(0), minutes(5), minutes(60), minutes(95)]
    assert [period(each) for each in lengths] == ["0 min", "5 min", "1 h", "1 h 35 min"]


def test_names_are_listed() -> None:
    assert [listed(names) for names in ([], ["a"], ["a", "b", "c"])] == ["", "a", "a, b and c"]


def test_a_warning_says_the_level_the_odds_and_the_value() -> None:
    assert warning_words(warned(T0)) == (
        "Memory used at 98 %: 34 % within 1 h, likely at 2026-05-06 13:00 UTC, now 60 %"
    )
    assert "not yet checked" in warning_words(warned(T0, odds_row=None))


def test_a_breach_says_since_when() -> None:
    assert breached_words(breached(T0, T0)) == (
        "Memory used at 99 %, at or beyond 98 % since 2026-05-06 12:00 UTC"
    )
