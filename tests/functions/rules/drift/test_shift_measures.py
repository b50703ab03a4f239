import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from functions.rules.drift.shift_measures import combined, shifts

SLOTS = 48
WEEKDAYS = np.zeros((6, SLOTS), np.bool_)


def fleet(seed: int = 0, days: int = 6) -> NDArray[np.float64]:
    """Two servers with one metric that follows the hour of the day."""
    random = np.random.default_rng(seed)
    daily = 10 * np.sin(np.arange(SLOTS) / SLOTS * 2 * np.pi)[None, None, :, None]
    return np.asarray(50 + daily + random.normal(size=(2, days, SLOTS, 1)))


def test_an_unchanged_server_stays_below_the_limit_and_a_scaled_one_does_not() -> None:
    values = fleet()
    values[1, -1] *= 2
    made = shifts(values, WEEKDAYS)
    assert made.distribution[0, 0] < 0.15
    assert made.mean[0, 0] < 0.1
    assert made.distribution[1, 0] == pytest.approx(1.0)
    assert made.mean[1, 0] == 1.0


def test_a_weekend_is_compared_with_the_weekend_before_slot_by_slot() -> None:
    values = fleet(days=8)
    weekend = np.zeros((8, SLOTS), np.bool_)
    weekend[0] = weekend[-1] = True
    values[:, weekend[:, 0]] -= 30
    assert shifts(values, weekend).distribution.max() < 0.3
    assert shifts(values, np.zeros_like(weekend)).distribution.min() > 0.8


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.floats(0, 3))
def test_the_distance_is_that_of_two_samples_without_weights(seed: int, shift: float) -> None:
    from scipy import stats  # slow to import, by every process that collects the tests

    values = np.round(fleet(seed), 1)
    values[0, -1] += shift
    made = shifts(values, WEEKDAYS).distribution[0, 0]
    expected = stats.ks_2samp(values[0, -1, :, 0], values[0, :-1, :, 0].ravel()).statistic
    assert made == pytest.approx(expected, abs=1e-9)


def test_missing_readings_are_left_out_and_too_few_of_them_are_no_measure() -> None:
    values = fleet()
    values[0, -1, :40] = np.nan
    values[1, :, ::2] = np.nan
    made = shifts(values, WEEKDAYS)
    assert math.isnan(made.distribution[0, 0])
    assert made.distribution[1, 0] < 0.25
    still = shifts(np.full((1, 6, SLOTS, 1), 7.0), WEEKDAYS)
    assert math.isnan(still.mean[0, 0])
    assert math.isnan(still.distribution[0, 0])


def test_the_sum_is_weighted_and_unknown_where_a_part_is() -> None:
    assert combined(0.1, 0.2, 0.15, 0.05) == pytest.approx(0.04 + 0.06 + 0.03 + 0.005)
    assert math.isnan(combined(0.1, math.nan, 0.15, 0.05))
