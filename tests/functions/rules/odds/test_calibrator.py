import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rules.fleet_state import LEAST_ODDS
from functions.rules.odds.calibrator import GRID, fit_calibrator
from functions.rules.odds.exceedance import logit, sigmoid

odds_lists = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)
ANY_ODDS = np.linspace(0, 1, 201)


def calibrated(said: np.ndarray, truth: np.ndarray, events: int) -> np.ndarray:
    """What becomes of odds `said` of which shares of `truth` came, in 40,000 cases."""
    rng = np.random.default_rng(1)
    cases = rng.integers(0, len(said), 40_000)
    came = (rng.random(40_000) < truth[cases]).astype(float)
    return fit_calibrator(said[cases], came, np.ones(40_000), events)(said)


@given(odds_lists, st.integers(0, 500))
def test_calibrated_odds_never_fall_with_the_raw_ones_and_are_never_certain(cases, events):
    raw, came = np.array(cases, float).T
    odds = fit_calibrator(raw, came, np.ones(len(raw)), events)(ANY_ODDS)
    assert (np.diff(odds) >= -1e-12).all()
    assert odds.min() >= LEAST_ODDS
    assert odds.max() <= 1 - LEAST_ODDS


@given(odds_lists)
def test_without_events_the_raw_odds_come_out(cases):
    raw, came = np.array(cases, float).T
    odds = fit_calibrator(raw, came, np.ones(len(raw)), 0)(ANY_ODDS)
    np.testing.assert_allclose(odds, ANY_ODDS.clip(LEAST_ODDS, 1 - LEAST_ODDS), atol=1e-9)


def test_odds_that_come_true_hardly_change() -> None:
    said = np.array([0.01, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9])
    odds = calibrated(said, said, 1000)
    np.testing.assert_allclose(odds, said, atol=0.03)


@pytest.mark.parametrize("shift", [-1.5, 1.5])
def test_odds_that_are_wrong_move_towards_what_came_with_the_number_of_events(shift):
    said = sigmoid(np.linspace(-4, 4, 30))
    truth = sigmoid(logit(said) + shift)
    few, many = (calibrated(said, truth, events) for events in (30, 3000))
    np.testing.assert_allclose(many, truth, atol=0.06)
    half = sigmoid(logit(said) + shift / 2)  # with 30 events they go half the way
    np.testing.assert_allclose(few, half, atol=0.06)


def test_weights_count_cases() -> None:
    raw = np.repeat([0.2, 0.2], 300)
    came = np.repeat([0.0, 1.0], 300)
    odds = fit_calibrator(raw, came, np.where(came > 0, 1.0, 9.0), 10_000)(np.array([0.2]))
    assert odds[0] == pytest.approx(0.1, abs=0.02)


def test_a_curve_is_kept_at_places_that_span_all_odds() -> None:
    assert sigmoid(GRID[[0, -1]]) == pytest.approx([LEAST_ODDS, 1 - LEAST_ODDS])
