"""Which times of samples can be true, and what a refusal says."""

from datetime import UTC, datetime, timedelta

import pytest

from storage.model.time_limits import STOCK_LIMITS, WIDEST, TimeLimits, in_words, utc_text

NOW = datetime(2026, 11, 28, 11, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
YEAR_S = 365 * 86_400


@pytest.mark.parametrize(
    ("offset_s", "says"),
    [
        (0, None), (300, None), (301, "lies more than 5 minutes in the future"),
        (-10 * YEAR_S, None), (-10 * YEAR_S - 1, "is older than 10 years"),
    ],
)  # fmt: skip
def test_a_sample_is_at_most_ten_years_old_and_five_minutes_ahead(
    offset_s: int, says: str | None
) -> None:
    problem = STOCK_LIMITS.at(NOW).problem((NOW_S + offset_s) * 1_000_000)
    assert (problem and problem.reason) == says


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("taken_for", ["s", "ms", "us", "ns"])
def test_the_unit_of_a_number_is_the_one_in_which_it_can_be_true(unit: str, taken_for: str) -> None:
    per_s = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
    number = NOW_S * per_s[unit]
    within = STOCK_LIMITS.at(NOW)
    assert within.unit_of(number) == unit
    problem = within.problem(number * 1_000_000 // per_s[taken_for], number)
    assert (problem is None) == (unit == taken_for)
    assert problem is None or problem.unit == unit


def test_a_number_that_fits_no_unit_has_none() -> None:
    assert STOCK_LIMITS.at(NOW).unit_of(5) is None


@pytest.mark.parametrize("ts", [datetime(1970, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)])
def test_a_time_that_was_never_set_is_named_so(ts: datetime) -> None:
    since_epoch_us = (ts - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    problem = STOCK_LIMITS.at(NOW).problem(since_epoch_us)
    assert problem is not None
    assert "never set" in problem.remedy


def test_other_limits_are_named_in_the_reason() -> None:
    within = TimeLimits(timedelta(days=30), timedelta(hours=2)).at(NOW)
    assert within.too_early == "is older than 30 days"
    assert within.too_late == "lies more than 2 hours in the future"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (90, "90 seconds"), (3600, "1 hour"), (YEAR_S, "1 year"), (0.25, "0.25 sec")],
)
def test_a_period_is_written_in_its_largest_whole_unit(seconds: float, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)).startswith(words)


@pytest.mark.parametrize(
    ("ts_us", "text"),
    [(0, "1970-01-01 00:00:00"), (1e18, "after the year 9999"), (-1e18, "before the year 1"),
     (-62_135_596_800_000_000, "0001-01-01 00:00:00"), (float("inf"), "after the year 9999")],
)  # fmt: skip
def test_every_number_is_some_time_for_a_reader(ts_us: float, text: str) -> None:
    assert utc_text(ts_us) == text


def test_without_a_clock_only_mistaken_units_are_refused() -> None:
    assert WIDEST.problem(NOW_S * 1_000_000) is None
    assert WIDEST.problem(NOW_S * 1_000) is not None
