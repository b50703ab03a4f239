import numpy as np
import pytest
import torch

from functions.rules.evaluation.scoring import Array, ScoredWindows, covered, held_out_windows
from model_export.calibration import CalibrationLimits, calibrate
from model_export.network import ForecastNetwork
from storage.model.grid import QUANTILES
from tests.model_export.small_networks import fleet, small_network

WINDOWS = held_out_windows(fleet(servers=2))


def forecast_of(network: ForecastNetwork, windows: ScoredWindows) -> Array:
    inputs = (windows.context, windows.week_minute, windows.profile)
    with torch.no_grad():
        return np.asarray(network(*(torch.from_numpy(values) for values in inputs)).numpy())


def test_calibrated_bands_reach_their_coverage() -> None:
    # one factor for all metrics and leads, as far from 1 as the windows ask for
    limits = CalibrationLimits(1e-3, 1e3, largest_step=1e3, common_windows=1e9)
    network = small_network()
    factors = calibrate(network, [WINDOWS], limits=limits)
    assert np.ptp(factors, axis=(0, 1)).max() < 1e-3
    forecast = forecast_of(network, WINDOWS)
    for out in (1, 2, 3):
        low, high = 3 - out, 3 + out
        coverage = QUANTILES[high] - QUANTILES[low]
        assert np.nanmean(covered(forecast, WINDOWS, low, high)) == pytest.approx(
            coverage, abs=0.03
        )


def test_a_group_of_metrics_that_needs_wider_bands_gets_them() -> None:
    limits = CalibrationLimits(common_windows=20.0)
    history = fleet(servers=3)
    history.values[..., 12] += 40 * (
        np.random.default_rng(1).random(history.values.shape[:2]) < 0.3
    )
    windows = held_out_windows(history)
    factors = calibrate(small_network(), [windows], limits=limits)
    assert (factors[:, 12] > 1.1 * factors[:, 8]).all()
    common = calibrate(small_network(), [windows], named=[], limits=limits)
    np.testing.assert_array_equal(common[:, 12], common[:, 8])


def test_with_few_windows_the_factors_stay_near_those_before_fine_tuning() -> None:
    before = small_network()
    before.widen(torch.full((6,), 1.3))
    few = held_out_windows(fleet(servers=1), origins=1)
    factors = calibrate(small_network(), [few], prior=before)
    assert np.abs(np.log(factors / 1.3)).max() < 0.1


def test_calibrating_twice_gives_the_same_factors() -> None:
    network = small_network()
    first = calibrate(network, [WINDOWS])
    np.testing.assert_array_equal(first, calibrate(network, [WINDOWS]))


def test_factors_stay_within_their_limits() -> None:
    limits = CalibrationLimits(narrowest=0.95, widest=1.05, common_windows=1.0)
    factors = calibrate(small_network(), [WINDOWS], limits=limits)
    assert (factors >= 0.95).all()
    assert (factors <= 1.05).all()


def test_a_set_without_known_targets_changes_nothing() -> None:
    history = fleet(servers=1)
    history.values[:, -96 * 14 :] = np.nan
    factors = calibrate(small_network(), [held_out_windows(history)])
    np.testing.assert_array_equal(factors, 1.0)
