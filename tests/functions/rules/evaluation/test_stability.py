import math

import numpy as np
import pytest

from functions.rules.evaluation.stability import mean_jump
from storage.model.grid import QUANTILES


def forecast(median: np.ndarray, width: float) -> np.ndarray:
    """A forecast [n, 96, 14, 7] around a median [96], with an 80 % band of that width."""
    around = width * (np.array(QUANTILES) - 0.5) / 0.8
    series = median[:, None, None] + around
    return np.broadcast_to(series, (2, 96, 14, 7)).astype(np.float32)


def test_forecasts_that_agree_on_each_target_do_not_jump() -> None:
    day = np.sin(np.arange(99) / 20)
    assert mean_jump(forecast(day[:96], 2.0), forecast(day[3:], 2.0), 3) == pytest.approx(0.0)


def test_a_move_is_counted_in_widths_of_the_band() -> None:
    flat = np.full(96, 50.0)
    jump = mean_jump(forecast(flat, 4.0), forecast(flat + 1, 4.0), 3)
    assert jump == pytest.approx(0.25, abs=1e-6)


def test_a_band_without_width_and_missing_forecasts_do_not_count() -> None:
    flat = np.full(96, 50.0)
    assert math.isnan(mean_jump(forecast(flat, 0.0), forecast(flat, 0.0), 3))
    part = forecast(flat + 1, 4.0).copy()
    part[0] = np.nan
    assert mean_jump(forecast(flat, 4.0), part, 3) == pytest.approx(0.25, abs=1e-6)
