import numpy as np

from functions.rules.evaluation.baselines import (
    CONTEXT_QUANTILES,
    HOUR_MEAN,
    LAST_VALUE,
    SEASONAL,
    Array,
    Forecasting,
    baselines,
)

CLOCK, GENERIC = np.zeros(1, np.float32), np.zeros(1, np.int64)


def counting() -> Array:
    """One server whose first metric counts its steps, 0 to 287; the others were never measured."""
    context = np.full((1, 288, 14), np.nan, np.float32)
    context[0, :, 0] = np.arange(288)
    return context


def answer(name: str, context: Array) -> Array:
    forecast: Forecasting = baselines()[name]
    result = forecast(context, CLOCK, GENERIC)
    assert result.shape == (1, 96, 14, 7)
    assert np.isnan(result[..., 1:, :]).all()
    return result[0, :, 0]


def test_seasonal_naive_is_the_value_24_h_before() -> None:
    result = answer(SEASONAL, counting())
    np.testing.assert_array_equal(result[:, 3], np.arange(96))
    np.testing.assert_array_equal(result[:, 0], result[:, 6])


def test_the_last_value_is_the_newest_there_is() -> None:
    context = counting()
    context[0, -20:] = np.nan
    np.testing.assert_array_equal(answer(LAST_VALUE, context), 267)


def test_the_last_hour_is_12_steps_or_the_last_value() -> None:
    context = counting()
    np.testing.assert_array_equal(answer(HOUR_MEAN, context), np.mean(np.arange(276, 288)))
    context[0, -6:] = np.nan
    np.testing.assert_array_equal(answer(HOUR_MEAN, context), np.mean(np.arange(276, 282)))
    context[0, -12:] = np.nan
    np.testing.assert_array_equal(answer(HOUR_MEAN, context), 275)


def test_context_quantiles_are_the_days_own_and_need_an_hour() -> None:
    context = counting()
    expected = np.quantile(np.arange(288), (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98))
    np.testing.assert_allclose(answer(CONTEXT_QUANTILES, context)[95], expected, rtol=1e-6)
    context[0, :-11] = np.nan
    assert np.isnan(answer(CONTEXT_QUANTILES, context)).all()
