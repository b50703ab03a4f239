"""The race: a naive forecast gets a share by an advantage that exceeds its noise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.rules.serving.race import (
    HISTORY_STEPS,
    Floats,
    RaceState,
    context_quantiles,
    last_band,
    leading,
    seasonal_band,
    updated,
    weights,
)
from storage.model.grid import CONTEXT_STEPS, QUANTILES

SCALE = np.full((1, 1), 100.0)


def raced(losses: Floats, servers: int = 1) -> Floats:
    """The shares of the first server after hours of losses [hours, 4] of all of them."""
    state = RaceState.new(servers, 1)
    for each in losses:
        state = updated(state, np.broadcast_to(each, (servers, 1, 3, 4)))
    shares: Floats = weights(state, np.full((servers, 1), 100.0))[0, 0, 0]
    return shares


def noisy(means: list[float], hours: int = 72, noise: float = 0.05) -> Floats:
    return np.array(means) + np.random.default_rng(5).normal(0, noise, (hours, 4))


def test_without_evidence_the_model_is_alone() -> None:
    assert weights(RaceState.new(2, 1), np.full((2, 1), 100.0))[1, 0, 2].tolist() == [1, 0, 0, 0]


def test_a_better_naive_forecast_leads_after_three_days() -> None:
    shares = raced(noisy([1.0, 0.8, 1.5, 1.5]))
    assert shares[1] > 0.9
    assert shares[2] == shares[3] == 0
    assert shares.sum() == pytest.approx(1)


def test_an_advantage_within_its_noise_gets_no_share() -> None:
    assert raced(noisy([1.0, 0.98, 1.5, 1.5], noise=0.4)).tolist() == [1, 0, 0, 0]


def test_worse_forecasts_have_no_share_at_all() -> None:
    assert raced(noisy([1.0, 1.1, 1.2, 2.0])).tolist() == [1, 0, 0, 0]


def test_a_series_that_hardly_moves_stays_with_the_model() -> None:
    assert raced(noisy([1e-3, 1e-6, 1e-6, 1e-6], noise=0)).tolist() == [1, 0, 0, 0]


def test_old_losses_are_forgotten() -> None:
    better, worse = noisy([1.0, 0.7, 1.5, 1.5]), noisy([1.0, 1.4, 1.5, 1.5], hours=240)
    assert raced(better)[1] > 0.9
    assert raced(np.concatenate([better, worse]))[1] == 0


def test_a_new_series_starts_with_what_the_fleet_has_seen() -> None:
    state = RaceState.new(6, 1)
    for each in noisy([1.0, 0.8, 1.5, 1.5]):
        state = updated(state, np.broadcast_to(each, (6, 1, 3, 4)))
    first = updated(RaceState.new(1, 1), np.full((1, 1, 3, 4), 1.0))
    joined = [np.concatenate([getattr(state, n), getattr(first, n)]) for n in RaceState.__slots__]
    assert weights(RaceState(*joined), np.full((7, 1), 100.0))[6, 0, 0, 1] > 0.5


def test_a_forecast_without_a_loss_is_no_candidate() -> None:
    losses = noisy([1.0, 1.5, 0.5, 1.5])
    losses[:, 2] = np.nan
    assert raced(losses).tolist() == [1, 0, 0, 0]


def test_an_hour_without_targets_changes_nothing() -> None:
    state = updated(RaceState.new(1, 1), np.full((1, 1, 3, 4), 2.0))
    same = updated(state, np.full((1, 1, 3, 4), np.nan))
    assert all((getattr(same, n) == getattr(state, n)).all() for n in RaceState.__slots__)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_shares_are_a_partition_of_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = RaceState.new(3, 2)
    for _ in range(5):
        losses = rng.gamma(1, 1, (3, 2, 3, 4))
        losses[rng.random(losses.shape) < 0.2] = np.nan
        state = updated(state, losses)
    shares = weights(state, rng.gamma(1, 1, (3, 2)))
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=-1), 1, rtol=1e-5)


def test_the_leading_candidate_has_the_largest_share() -> None:
    shares = np.array([[[[0.5, 0.5, 0, 0], [0.2, 0.8, 0, 0], [1, 0, 0, 0]]]])
    assert leading(shares).item() == 0
    assert leading(shares[:, :, :2]).item() == 1


def daily(days: int, noise: float = 1.0) -> Floats:
    """A series [1, HISTORY_STEPS, 1] with a daily cycle, of which the last `days` are known."""
    at = np.arange(HISTORY_STEPS)
    values = 50 + 20 * np.sin(2 * np.pi * at / CONTEXT_STEPS)
    values += np.random.default_rng(2).normal(0, noise, HISTORY_STEPS)
    values[: HISTORY_STEPS - days * CONTEXT_STEPS] = np.nan
    return values[None, :, None]


def test_bands_are_quantiles_of_the_errors_of_48_hours() -> None:
    values = daily(3)
    band = seasonal_band(values)[0, 0]
    np.testing.assert_allclose(band, np.sqrt(2) * np.array(
        [-2.054, -1.282, -0.674, 0, 0.674, 1.282, 2.054]
    ), atol=0.6)  # fmt: skip
    last = last_band(values)[0, 0]
    assert (np.diff(last) >= 0).all()
    assert (last[0, 6] < last[1, 6] < last[2, 6]).all()  # farther ahead it is wider


def test_there_is_no_seasonal_band_before_48_hours_of_history() -> None:
    assert np.isnan(seasonal_band(daily(1))).all()
    assert np.isfinite(seasonal_band(daily(2))).all()


def test_context_quantiles_leave_gaps_out() -> None:
    values = np.array([5.0, np.nan, 1.0, 3.0, np.nan])[None, :, None]
    np.testing.assert_allclose(
        context_quantiles(values)[0, 0], np.quantile([1, 3, 5], QUANTILES), rtol=1e-6
    )
    assert np.isnan(context_quantiles(np.full((1, 4, 1), np.nan))).all()


def test_the_state_is_not_changed_in_place() -> None:
    state = RaceState.new(1, 1)
    updated(replace(state), np.ones((1, 1, 3, 4)))
    assert not state.hours.any()
