import numpy as np
import pytest
import torch

from functions.rules.evaluation.scoring import Array, ScoredWindows, covered, held_out_windows
from model_export.calibration import calibrate
from model_export.network import ForecastNetwork
from storage.model.grid import QUANTILES
from tests.model_export.small_networks import fleet, small_network

WINDOWS = held_out_windows(fleet(servers=2))


def answer(network: ForecastNetwork, windows: ScoredWindows) -> Array:
    asked = (windows.context, windows.week_minute, windows.profile)
    with torch.no_grad():
        return np.asarray(network(*(torch.from_numpy(values) for values in asked)).numpy())


def test_calibrated_bands_hold_what_they_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_export.calibration._BELIEVED", 1e9)  # one factor for all
    monkeypatch.setattr("model_export.calibration._NARROWEST", 1e-3)
    monkeypatch.setattr("model_export.calibration._WIDEST", 1e3)
    monkeypatch.setattr("model_export.calibration._FARTHEST", 1e3)
    network = small_network()
    factors = calibrate(network, [WINDOWS])
    assert np.ptp(factors, axis=(0, 1)).max() < 1e-3
    forecast = answer(network, WINDOWS)
    for out in (1, 2, 3):
        low, high = 3 - out, 3 + out
        promised = QUANTILES[high] - QUANTILES[low]
        assert np.nanmean(covered(forecast, WINDOWS, low, high)) == pytest.approx(
            promised, abs=0.03
        )


def test_a_group_of_metrics_that_needs_wider_bands_gets_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("model_export.calibration._BELIEVED", 20.0)
    history = fleet(servers=3)
    history.values[..., 12] += 40 * (
        np.random.default_rng(1).random(history.values.shape[:2]) < 0.3
    )
    windows = held_out_windows(history)
    factors = calibrate(small_network(), [windows])
    assert (factors[:, 12] > 1.1 * factors[:, 8]).all()
    common = calibrate(small_network(), [windows], named=[])
    np.testing.assert_array_equal(common[:, 12], common[:, 8])


def test_with_few_windows_the_factors_of_before_are_believed() -> None:
    before = small_network()
    before.widen(torch.full((6,), 1.3))
    few = held_out_windows(fleet(servers=1), origins=1)
    factors = calibrate(small_network(), [few], prior=before)
    assert np.abs(np.log(factors / 1.3)).max() < 0.1


def test_calibration_starts_from_the_trained_bands() -> None:
    network = small_network()
    first = calibrate(network, [WINDOWS])
    np.testing.assert_array_equal(first, calibrate(network, [WINDOWS]))
