import numpy as np
import pytest

from functions.rules.odds.reliability import BIN_EDGES, brier, reliability


def test_odds_that_come_true_have_no_error_and_their_skill() -> None:
    odds = np.repeat([0.1, 0.5], 100)
    came = np.r_[np.arange(100) < 10, np.arange(100) < 50].astype(float)
    result = reliability(odds, came, np.ones(200), np.arange(200))
    assert result.ece == pytest.approx(0)
    assert (result.base_rate, result.brier) == pytest.approx((0.3, (0.09 + 0.25) / 2))
    assert result.skill == pytest.approx(1 - 0.17 / 0.21)


def test_the_error_is_the_mean_distance_of_said_and_came_by_cases() -> None:
    odds = np.repeat([0.01, 0.9], [300, 100])
    came = np.repeat([0.0, 1.0, 0.0], [300, 50, 50])
    result = reliability(odds, came, np.ones(400), np.arange(400))
    assert result.ece == pytest.approx((300 * 0.01 + 100 * 0.4) / 400)
    assert np.nansum(result.bin_blocks) == 400


def test_the_band_is_that_of_blocks_not_of_rows() -> None:
    odds, came = np.full(960, 0.5), np.repeat([0.0, 1.0] * 5, 96)
    rows = reliability(odds, came, np.ones(960), np.arange(960))
    blocks = reliability(odds, came, np.ones(960), np.arange(960) // 96)
    place = int(np.searchsorted(BIN_EDGES, 0.5)) - 1
    assert (blocks.bin_blocks[place], rows.bin_blocks[place]) == (10, 960)
    assert blocks.came_low[place] == pytest.approx(0.5 - 1.96 * 0.5 / 10**0.5, abs=0.01)
    assert blocks.came_low[place] < 0.25 < 0.45 < rows.came_low[place]


def test_an_empty_bin_has_no_share_and_no_case_has_no_score() -> None:
    result = reliability(np.array([0.5]), np.array([1.0]), np.ones(1), np.zeros(1, int))
    assert np.isnan(result.said[0])
    assert np.isnan(result.skill)
    assert np.isnan(brier(np.zeros(0), np.zeros(0), np.zeros(0)))
