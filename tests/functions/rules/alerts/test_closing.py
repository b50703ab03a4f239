from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from functions.rules.alerts.closing import longest_close_minutes
from functions.rules.alerts.rule import Rule
from functions.rules.alerts.rule_book import STOCK_BOOK
from tests.functions.rules.alerts.scenes import (
    T0,
    Timeline,
    breached,
    calm,
    minutes,
    predicted,
    warned,
)


def test_a_breach_is_over_after_half_an_hour_clear_of_the_level() -> None:
    line = Timeline()
    line.step(T0, breached(T0, T0 - minutes(15)))
    assert line.step(T0 + minutes(10), calm(T0, under_minutes=10)) == ["changed"]
    assert line.last["closes_at"] == T0 + minutes(30)
    assert line.step(T0 + minutes(31), calm(T0, under_minutes=31)) == ["closed"]
    assert line.last["phase"] == "over"
    assert line.last["channels"] == "on-call"  # a resolve goes where its open went


def test_a_warning_whose_odds_fall_is_withdrawn_with_the_reason() -> None:
    line = predicted()
    end = T0 + minutes(40)
    line.step(end, calm(end, below_minutes=30))
    assert line.last["phase"] == "withdrawn"
    assert "the odds were up to 34 % within 1 h" in line.last["why"]
    assert "by another model" not in line.last["why"]


def test_a_withdrawal_by_another_model_says_so() -> None:
    line = predicted()
    end = T0 + minutes(40)
    line.step(end, calm(end, odds_row={"model": "m2", "checked": True}))
    assert "the forecast changed, by another model" in line.last["why"]


@pytest.mark.parametrize("changes", [
    {"below_minutes": 25.0},
    {"under_minutes": 0.0},  # no values
    {"issued_at": None, "odds_row": None},  # no odds
    {"issued_at": T0 - minutes(30)},  # old odds
])  # fmt: skip
def test_what_is_not_known_ends_no_warning(changes: dict[str, Any]) -> None:
    line = predicted()
    end = T0 + minutes(40)
    line.step(end, calm(end, **changes))
    assert line.episodes()[0].is_open


def test_a_warning_without_a_new_forecast_ends_when_its_eight_hours_are_over() -> None:
    line = predicted()
    end = T0 + timedelta(hours=8)
    assert line.step(end, calm(end, issued_at=None)) == ["closed"]
    assert "no forecast for 8 h" in line.last["why"]


def test_nothing_reopens_for_two_hours_and_longer_when_it_flaps() -> None:
    line = Timeline()
    opened: list[datetime] = []
    now = T0
    while now < T0 + timedelta(hours=14):
        since_open = now - opened[-1] if opened else None
        quiet = since_open is not None and since_open >= minutes(5)
        signal = calm(now, below_minutes=500) if quiet else warned(now)
        line.step(now, signal if line.rows and line.episodes()[-1].is_open else warned(now))
        if line.rows and line.last["event"] == "opened" and line.last["ts"] == now:
            opened.append(now)
        now += minutes(5)
    gaps = [(b - a) / minutes(60) for a, b in pairwise(opened)]
    assert gaps[0] == pytest.approx(2, abs=0.2)
    assert gaps[1] == pytest.approx(4, abs=0.2)


def test_the_end_of_the_run_that_was_an_episode_opens_none() -> None:
    line = Timeline(replace(STOCK_BOOK, rules=(Rule(name="breach", close_after="5m"),)))
    line.step(T0, breached(T0, T0 - minutes(15)))
    line.step(T0 + minutes(6), calm(T0, under_minutes=6))
    assert line.last["phase"] == "over"
    now = T0 + minutes(7)
    assert line.step(now, breached(now, T0 - minutes(15), under_minutes=7)) == []


def test_true_breaches_make_no_warning_wait_longer() -> None:
    line = Timeline()
    for hours in (0, 4, 8):
        now = T0 + timedelta(hours=hours)
        assert "opened" in line.step(now, warned(now))
        line.step(now + minutes(30), breached(now + minutes(30), now + minutes(15)))
        line.step(now + minutes(90), calm(now + minutes(90)))
        assert line.last["phase"] == "over"


def test_the_times_of_a_rule_bound_what_has_to_be_read() -> None:
    rules = (Rule(name="a"), Rule(name="b", close_after="5h"))
    assert [longest_close_minutes(rules[:1]), longest_close_minutes(rules)] == [120.0, 300.0]
