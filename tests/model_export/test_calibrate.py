import numpy as np
import torch

from model_export.calibrate import calibrate
from storage.grid import QUANTILES
from storage.scoring import covered, held_out_windows
from tests.model_export.fleets import fleet, small_network


def test_calibrated_bands_hold_what_they_promise() -> None:
    network = small_network()
    windows = held_out_windows(fleet(servers=2))
    factors = calibrate(network, [windows])
    with torch.no_grad():
        forecast = network(
            torch.from_numpy(windows.context),
            torch.from_numpy(windows.week_minute),
            torch.from_numpy(windows.profile),
        ).numpy()
    for out, factor in enumerate(factors, start=1):
        if not 0.55 < factor < 1.9:
            continue  # an untrained network's bands may be wrong by more than that
        low, high = 3 - out, 3 + out
        promised = QUANTILES[high] - QUANTILES[low]
        assert abs(np.nanmean(covered(forecast, windows, low, high)) - promised) < 0.02


def test_calibration_starts_from_the_trained_bands() -> None:
    network = small_network()
    windows = held_out_windows(fleet(servers=1))
    assert calibrate(network, [windows]) == calibrate(network, [windows])
