import numpy as np

from functions.rules.evaluation.baselines import Array
from scripts.tools import forecast_peers
from tests.storage.small_fleets import fleet

TRAINING = fleet(servers=2, days=6)


def test_forecasts_of_peers_are_ordered_in_range_and_abstain_where_the_model_does() -> None:
    def wide(series: forecast_peers._SeriesWindows) -> Array:
        spread = np.array([9, -9, 0, 0, 0, 1, 99], np.float32)
        return np.broadcast_to(spread, (len(series.context), 96, 7))

    context = fleet(1, days=1).values.copy()
    context[0, :-11, 0] = np.nan
    quantiles = forecast_peers._as_forecasting(wide)(
        context, np.zeros(1, np.float32), np.zeros(1, np.int64)
    )
    assert np.isnan(quantiles[..., 0, :]).all()
    assert (np.diff(quantiles[..., 1:, :], axis=-1) >= 0).all()
    assert quantiles[..., 1, :].min() >= 0
    assert quantiles[..., 1, :].max() == 100
    np.testing.assert_allclose(quantiles[0, 0, 1, 2], np.median(context[0, :, 1]), rtol=1e-5)


def test_a_feature_of_lightgbm_is_the_mean_around_the_value_24_h_before() -> None:
    steps = np.arange(288, dtype=np.float32)[None].copy()
    steps[0, 11] = np.nan
    leads = np.array([[0, 10, 95]])
    around = forecast_peers._around(steps, leads, 3)
    np.testing.assert_allclose(around[0], [2.0, (8 + 9 + 10 + 12 + 13) / 5, 95.5])


def test_training_windows_are_scaled_by_their_own_level_and_spread() -> None:
    windows = forecast_peers._sampled([TRAINING], 200, np.random.default_rng(0))
    np.testing.assert_allclose(np.nanmedian(windows.context, axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(np.nanmean(np.abs(windows.context), axis=1), 1, rtol=1e-4)
    assert windows.target.shape == (200, 96)
