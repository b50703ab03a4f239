import numpy as np

from scripts.tools.synthetic import synthetic_fleet
from storage.model.metrics import METRICS


def test_synthetic_servers_stay_within_the_range_of_each_metric_and_repeat_with_the_seed() -> None:
    history = synthetic_fleet(6, 3, seed=4)
    assert history.values.shape == (6, 3 * 288, 14)
    assert history.values.min() >= 0
    assert history.values[..., [i for i, m in enumerate(METRICS) if m.highest]].max() <= 100
    assert (history.values.std(1) > 0).all()
    np.testing.assert_array_equal(history.values, synthetic_fleet(6, 3, seed=4).values)


def test_synthetic_series_are_of_many_kinds() -> None:
    values = synthetic_fleet(40, 4, seed=0).values[..., :-1]
    scaled = (values - values.mean(1, keepdims=True)) / values.std(1, keepdims=True)
    yesterday = (scaled[:, 288:] * scaled[:, :-288]).mean(1).ravel()
    step_before = (scaled[:, 1:] * scaled[:, :-1]).mean(1).ravel()
    assert np.quantile(yesterday, 0.2) < 0.25 < 0.75 < np.quantile(yesterday, 0.9)
    assert np.quantile(step_before, 0.1) < 0.7 < 0.95 < np.quantile(step_before, 0.9)
