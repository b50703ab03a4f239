import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from functions.rules.drift.loss_check import (
    HISTORY_HOURS,
    RECENT_HOURS,
    LossCheck,
    check_losses,
    hour_class,
    next_count,
    reference_hours,
)

MONDAY = 20_500 * 24 - (20_500 * 24 - 96) % 168  # a Monday 00:00 UTC, in hours since 1970
EVERYONE = np.ones(12, np.bool_)


def fleet(hours: int = HISTORY_HOURS, servers: int = 12, seed: int = 0) -> NDArray[np.float64]:
    """Losses of 6 metrics with a daily shape, and weekends of half the loss."""
    random = np.random.default_rng(seed)
    at = MONDAY + np.arange(hours)
    daily = np.exp(0.5 * np.sin(at % 24 / 24 * 2 * np.pi)) * np.where(hour_class(at) >= 24, 0.5, 1)
    level = np.exp(random.normal(size=(servers, 1, 6)))
    noise = np.exp(0.3 * random.normal(size=(servers, hours, 6)))
    return np.asarray(level * daily[None, :, None] * noise)


def fleet_check(losses: NDArray[np.float64]) -> LossCheck:
    made = check_losses(losses, MONDAY)
    assert made is not None
    return made.group(EVERYONE[: len(losses)])


@settings(max_examples=10)
@given(st.integers(0, 1000), st.integers(150, HISTORY_HOURS))
def test_an_unchanged_fleet_is_never_over_the_limit_at_any_hour_of_the_week(
    seed: int, hours: int
) -> None:
    check = fleet_check(fleet(hours, seed=seed))
    assert not check.over


def test_half_as_much_loss_again_is_over_the_limit_after_half_a_window() -> None:
    losses = fleet()
    losses[:, -RECENT_HOURS // 2 :] *= 1.5
    check = fleet_check(losses)
    assert check.ratio == pytest.approx(math.log(1.5) / 2, abs=0.05)
    assert check.over


def test_an_incident_on_few_servers_or_metrics_is_no_drift() -> None:
    some_servers, one_metric = fleet(), fleet()
    some_servers[:4, -RECENT_HOURS:] *= 20
    one_metric[:6, -RECENT_HOURS:, 0] *= 20
    assert not fleet_check(some_servers).over
    assert not fleet_check(one_metric).over


def test_a_fleet_whose_days_differ_needs_more_to_be_over_the_limit() -> None:
    losses = fleet()
    losses[:, -RECENT_HOURS:] *= 1.3
    assert fleet_check(losses).over
    losses[:, : HISTORY_HOURS - 24] *= np.repeat([1, 1.6, 0.7, 1.4, 0.8], 48)[None, :228, None]
    assert not fleet_check(losses).over


def test_the_server_that_became_worse_has_the_highest_ratio() -> None:
    losses = fleet()
    losses[3, -RECENT_HOURS:] *= 2
    made = check_losses(losses, MONDAY)
    assert made is not None
    assert int(np.argmax(made.recent)) == 3
    assert made.server(3).over
    assert not made.server(4).over


def test_missing_hours_servers_and_still_metrics_leave_the_check_as_it_is() -> None:
    losses = fleet()
    losses[:, ::3] = np.nan
    losses[5] = np.nan
    losses[..., 2] = 0.0
    made = check_losses(losses, MONDAY)
    assert made is not None
    assert math.isnan(made.recent[5])
    check = made.group(EVERYONE)
    assert check.known
    assert not check.over
    assert not made.group(np.arange(12) == 5).known


def test_the_reference_stays_the_first_week_until_there_are_ten_days() -> None:
    assert reference_hours(95) is None
    assert reference_hours(96) == slice(0, 72)
    assert reference_hours(200) == slice(0, 168)
    assert reference_hours(HISTORY_HOURS) == slice(0, 168)
    assert reference_hours(300) == slice(300 - HISTORY_HOURS, 300 - HISTORY_HOURS + 168)


def test_a_check_without_its_class_in_the_reference_changes_no_count() -> None:
    friday = check_losses(fleet(5 * 24 + 12), MONDAY)  # the recent hours are the first of a weekend
    assert friday is not None
    check = friday.group(EVERYONE)
    assert not check.known
    assert next_count(2, check) == (2, False)


def test_three_checks_in_a_row_are_a_drift_and_one_below_ends_it() -> None:
    over, under = LossCheck(0.5, 0.3), LossCheck(0.1, -0.1)
    assert next_count(1, over) == (2, False)
    assert next_count(2, over) == (3, True)
    assert next_count(7, under) == (0, False)
