"""Online calibration: bands that are wrong come right, and the loss does not pay for it."""

from math import erf, exp, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.rules.serving.calibration import (
    SHAPE,
    CalibrationState,
    Floats,
    HourCounts,
    band_ratios,
    due_for_preset,
    factors_of_ratios,
    preset,
    updated,
    widths,
)
from storage.model.grid import BAND_LEVELS, QUANTILES

EDGES = np.array([0.67449, 1.28155, 2.05375])  # of the bands of a normal distribution
SERVERS = 4
ALL_ONE_PROFILE = np.zeros(SERVERS, np.int64)


def shares(factors: Floats) -> Floats:
    """The share of normal values inside bands of so many times the right width."""
    return np.asarray(np.vectorize(lambda z: erf(z / sqrt(2)))(EDGES * factors), float)


def counts(inside: Floats, moving: float = 100.0) -> HourCounts:
    return HourCounts(np.full((SERVERS, *SHAPE[:2]), moving), inside * moving)


def after(hours: int, bias: Floats, state: CalibrationState | None = None) -> CalibrationState:
    """The state after hours of forecasts whose bands are `bias` [n] times too wide."""
    state = state or CalibrationState.new(1, SERVERS)
    for _ in range(hours):
        served = widths(state, ALL_ONE_PROFILE) * bias[:, None, None, None]
        state = updated(state, counts(shares(served)), ALL_ONE_PROFILE)
        if due_for_preset(state).any():
            state = preset(state, np.full(SHAPE, 1 / bias.mean()))
    return state


@pytest.mark.parametrize("bias", [0.6, 1.0, 1.7])
def test_bands_of_a_wrong_width_hold_their_share_from_the_third_day_on(bias: float) -> None:
    state = after(48, np.full(SERVERS, bias))
    for _ in range(24):
        state = after(1, np.full(SERVERS, bias), state)
        inside = shares(widths(state, ALL_ONE_PROFILE) * bias)
        np.testing.assert_allclose(inside[..., 1], 0.8, atol=0.02)
        np.testing.assert_allclose(inside[..., 2], 0.96, atol=0.01)


def test_correct_bands_cost_no_more_than_half_a_percent_of_loss() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, 10_000)
    edges = np.array([*-EDGES[::-1], 0, *EDGES])
    state = CalibrationState.new(1, SERVERS)
    losses = []
    for hour in range(72):
        factors = widths(state, ALL_ONE_PROFILE)
        seen = np.abs(rng.normal(0, 1, (SERVERS, *SHAPE[:2], 40)))[..., None, :]
        inside = (seen <= EDGES[:, None] * factors[..., None]).mean(axis=-1)
        state = updated(state, counts(inside), ALL_ONE_PROFILE)
        if hour >= 48:
            wide = np.append(np.append(factors[0, 0, 0][::-1], 1), factors[0, 0, 0])
            losses.append(loss(values, edges * wide) / loss(values, edges))
    assert np.mean(losses) < 1.005


def loss(values: Floats, edges: Floats) -> float:
    miss = values[:, None] - edges
    tau = np.array(QUANTILES)
    return float(np.maximum(tau * miss, (tau - 1) * miss).sum(axis=1).mean())


def test_a_server_that_differs_gets_an_offset_of_its_own() -> None:
    bias = np.array([1.0, 1.0, 1.0, 0.6])
    inside = shares(widths(after(24 * 14, bias), ALL_ONE_PROFILE) * bias[:, None, None, None])
    np.testing.assert_allclose(inside[..., 1], 0.8, atol=0.03)


def test_a_new_server_starts_as_its_profile() -> None:
    state = after(48, np.full(SERVERS, 1.7))
    grown = CalibrationState(
        state.fleet, state.profiles, np.concatenate([state.servers, np.zeros((1, *SHAPE))]),
        state.updates, state.since_preset,
    )  # fmt: skip
    factors = widths(grown, np.zeros(SERVERS + 1, np.int64))
    np.testing.assert_allclose(factors[-1], factors[0], rtol=0.02)


def test_a_profile_that_differs_is_learned_from_all_its_servers() -> None:
    profile_of = np.array([0, 0, 1, 1])
    state = CalibrationState.new(2, SERVERS)
    for _ in range(24):
        inside = np.where(profile_of == 1, 0.6, 0.9)[:, None, None, None] * np.ones(SHAPE)
        state = updated(state, counts(inside), profile_of)
    assert (state.profiles[1] > 0).all()
    assert (state.profiles[0] < 0).all()


def test_hours_without_a_moving_target_change_nothing() -> None:
    state = after(30, np.full(SERVERS, 0.6))
    same = updated(state, counts(np.zeros((SERVERS, *SHAPE)), moving=0), ALL_ONE_PROFILE)
    np.testing.assert_array_equal(same.fleet, state.fleet)
    np.testing.assert_array_equal(same.servers, state.servers)
    np.testing.assert_array_equal(same.updates, state.updates)


def test_a_server_without_targets_keeps_its_offset() -> None:
    state = after(30, np.array([1.0, 1.0, 1.0, 0.6]))
    seen = counts(np.full((SERVERS, *SHAPE), 0.8))
    seen.moving[3] = seen.inside[3] = 0
    np.testing.assert_array_equal(
        updated(state, seen, ALL_ONE_PROFILE).servers[3], state.servers[3]
    )


def test_an_hour_counts_as_four_steps_of_a_quarter_of_an_hour() -> None:
    state = updated(
        CalibrationState.new(1, SERVERS), counts(np.full((SERVERS, *SHAPE), 0.7)), ALL_ONE_PROFILE
    )
    steps = sum(max(0.1 * (1 + n / 24) ** -0.75, 0.015) for n in range(4))
    assert state.updates.min() == 4
    assert state.fleet[0, 0, 1] == pytest.approx(steps * 0.1)


def test_scores_of_forecasts_from_before_the_preset_are_left_out() -> None:
    state = after(24, np.full(SERVERS, 0.6))
    assert (state.since_preset == 0).all()
    outside = counts(np.zeros((SERVERS, *SHAPE)))
    late = updated(state, outside, ALL_ONE_PROFILE)
    np.testing.assert_array_equal(late.fleet, state.fleet)
    second = updated(late, outside, ALL_ONE_PROFILE)
    assert (second.fleet[:, 0] > state.fleet[:, 0]).all()  # an hour ahead, all are new
    np.testing.assert_array_equal(second.fleet[:, 2], state.fleet[:, 2])


def test_the_preset_takes_place_once() -> None:
    state = after(24, np.full(SERVERS, 0.6))
    assert not due_for_preset(state).any()
    np.testing.assert_array_equal(preset(state, np.full(SHAPE, 3.0)).fleet, state.fleet)


def test_a_ratio_of_one_is_on_the_edge_of_each_band() -> None:
    raw = np.array([[[10, 20, 30, 50, 60, 80, 90]]], float)
    np.testing.assert_allclose(
        band_ratios(raw, np.array([[20.0]]), np.zeros(1))[0, 0], [1.5, 1, 0.75]
    )
    np.testing.assert_allclose(
        band_ratios(raw, np.array([[80.0]]), np.zeros(1))[0, 0], [3, 1, 0.75]
    )


def test_a_band_without_width_has_the_least_one_and_a_missing_truth_no_ratio() -> None:
    raw = np.full((1, 2, 7), 5.0)
    ratios = band_ratios(raw, np.array([[5.5, np.nan]]), np.array([0.25]))
    np.testing.assert_allclose(ratios[0, 0], 2)
    assert np.isnan(ratios[0, 1]).all()


def test_factors_are_the_quantiles_of_the_ratios_of_their_metric_and_bucket() -> None:
    ratios = np.tile(np.arange(1, 101, dtype=float)[:, None, None], (1, 2, len(BAND_LEVELS)))
    ratios[:, 1] = np.nan
    factors = factors_of_ratios(ratios, np.zeros(100, int), np.array([0, 2]))
    np.testing.assert_allclose(factors[0, 0], [50.5, 80.2, 96.04])
    assert np.isnan(factors[0, 2]).all()
    assert np.isnan(factors[1]).all()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_factors_stay_within_their_bounds_whatever_is_scored(seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = CalibrationState.new(2, SERVERS)
    for _ in range(12):
        moving = rng.integers(0, 3, (SERVERS, *SHAPE[:2])).astype(float)
        inside = np.floor(moving[..., None] * rng.random((SERVERS, *SHAPE)))
        state = updated(state, HourCounts(moving, inside), rng.integers(0, 2, SERVERS))
    factors = widths(state, ALL_ONE_PROFILE)
    assert np.isfinite(factors).all()
    assert exp(-2.2) < factors.min() <= factors.max() < exp(2.2)
