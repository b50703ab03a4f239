from functools import cache

import numpy as np
import pytest

from functions.rules.fleet_state import LEAST_ODDS
from functions.rules.odds.cases import Cases
from functions.rules.odds.exceedance import logit
from functions.rules.odds.trend import (
    FEATURES,
    HISTORY_STEPS,
    SLOPE_STEPS,
    TrendHead,
    drivers,
    fit_trend,
    trend_features,
)
from tests.functions.rules.odds.odds_scenes import MEMORY, cases

LEVEL, GAP = np.array([98.0]), np.array([8.0])
RAW = np.full((1, 1, 5), 0.1)
END = np.array([HISTORY_STEPS])


# Not at the import: each process that collects the tests would compute them.
@cache
def known() -> Cases:
    return cases()


@cache
def head() -> TrendHead:
    each = known()
    return fit_trend(each.features, each.metric, each.came, each.weight)


def features(memory: np.ndarray) -> np.ndarray:
    """The features of memory at the end of 6 hours."""
    result: np.ndarray = trend_features(memory[None], LEVEL, GAP, RAW, END)[0, 0]
    return result


def climb(per_hour: float, last: float = 90.0) -> np.ndarray:
    result: np.ndarray = last + per_hour * (np.arange(HISTORY_STEPS) - HISTORY_STEPS + 1) / 12
    return result


def test_a_straight_climb_has_its_slope_in_gaps_an_hour_and_its_time_to_the_level() -> None:
    result = features(climb(4.0))
    assert result[:5] == pytest.approx(np.full(5, logit(np.array(0.1))))
    assert result[5] == pytest.approx(1.0)  # one gap of warn and critical level
    assert result[6:10] == pytest.approx(np.full(4, 0.5))
    assert result[10:14] == pytest.approx(np.full(4, 15.0))  # t-values end there
    assert result[14:18] == pytest.approx(np.full(4, 1 / 3))  # two hours to go


def test_a_metric_that_falls_never_reaches_the_level() -> None:
    assert features(climb(-4.0))[14:18] == pytest.approx(np.full(4, 1 / 25))


def test_noise_has_a_small_t_value() -> None:
    noise = 60 + np.random.default_rng(0).normal(size=HISTORY_STEPS)
    assert np.abs(features(noise)[10:14]).max() < 4


def test_a_window_of_which_half_is_missing_shows_no_slope() -> None:
    memory = climb(4.0)
    memory[: -SLOPE_STEPS[1]] = np.nan  # an hour is left
    assert features(memory)[6:10] == pytest.approx([0.5, 0.5, 0, 0])


def test_without_a_value_in_the_last_quarter_of_an_hour_there_are_no_features() -> None:
    memory = climb(4.0)
    memory[-2:] = np.nan
    assert np.isfinite(features(memory)).all()
    memory[-3:] = np.nan
    assert np.isnan(features(memory)[5])


def test_features_need_only_the_steps_before_the_origin() -> None:
    memory = np.concatenate([climb(4.0), np.full(20, 1e6)])[None]
    origins = np.array([HISTORY_STEPS, HISTORY_STEPS + 20])
    both = trend_features(memory, LEVEL, GAP, np.repeat(RAW, 2, axis=1), origins)
    np.testing.assert_array_equal(both[0, 0], features(climb(4.0)))


def test_the_head_sees_a_ramp_that_the_odds_of_the_bands_do_not() -> None:
    odds = head()(known().features, known().metric)
    soon = known().came[:, 1] == 1
    assert np.median(odds[soon, 1]) > 0.5
    assert np.median(odds[~soon, 1]) < 0.02


def test_its_odds_never_fall_with_the_lead_and_are_never_certain() -> None:
    odds = head()(np.random.default_rng(1).normal(0, 5, (200, FEATURES)), np.zeros(200, int))
    assert (np.diff(odds, axis=1) >= 0).all()
    assert odds.min() >= LEAST_ODDS
    assert odds.max() <= 1 - LEAST_ODDS


def test_its_drivers_are_said_in_words_strongest_first() -> None:
    ramp = features(climb(30.0))
    near = head().mean[:FEATURES].copy()
    near[5:] = ramp[5:]  # the bands say nothing
    texts = drivers(head(), near, MEMORY, 98.0, 8.0)
    assert texts[0].startswith("memory has climbed by 30 points per hour for ")
    assert "memory is at 90 % of 98 %" in texts
    calm = features(np.full(HISTORY_STEPS, 40.0))
    assert "memory has climbed" not in " ".join(drivers(head(), calm, MEMORY, 98.0, 8.0))
