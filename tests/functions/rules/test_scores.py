from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rules.scores import COUNTS, SUMS, DueForecasts, HourSums, Observed, loss
from storage.model.grid import QUANTILES

STEPS, HOUR = 420, 12
ISSUE = 300
Floats = npt.NDArray[np.floating[Any]]


def observed(n: int = 3, seed: int = 0, gaps: float = 0.0) -> Observed:
    rng = np.random.default_rng(seed)
    values = rng.normal(50, 5, (n, STEPS)).astype(np.float32)
    values[rng.random(values.shape) < gaps] = np.nan
    return Observed(
        values, np.zeros(values.shape, np.bool_), np.full(n, 100.0), np.zeros(n, np.bool_)
    )


def due(n: int = 3, lead: int = 0, t: int = HOUR, seed: int = 1, **given: Any) -> DueForecasts:
    rng = np.random.default_rng(seed)
    names = ("served", "model", "calibrated", "context", "seasonal", "last")
    bands = {
        name: np.sort(rng.normal(50, 6, (n, t, 7)), axis=2).astype(np.float32) for name in names
    }
    defaults: dict[str, Any] = {
        "series": np.arange(n), "step": ISSUE + lead, "lead": lead,
        "is_served": np.ones(n, np.bool_),
    }  # fmt: skip
    return DueForecasts(**(defaults | bands | given))


def flat(value: float, n: int = 1, t: int = HOUR) -> Floats:
    return np.full((n, t, 7), value, np.float32)


def scored(happened: Observed, *forecasts: DueForecasts) -> HourSums:
    sums = HourSums(happened)
    for each in forecasts:
        sums.add(each)
    return sums


def total(sums: HourSums, name: str) -> float:
    values, names = (sums.sums, SUMS) if name in SUMS else (sums.counts, COUNTS)
    return float(values[..., names.index(name)].sum())


def level(value: float = 50.0, n: int = 1) -> Observed:
    """A series that stays at `value`."""
    values = np.full((n, STEPS), value, np.float32)
    return Observed(
        values, np.zeros(values.shape, np.bool_), np.full(n, 100.0), np.zeros(n, np.bool_)
    )


def test_the_loss_is_that_of_the_oracle() -> None:
    import scoringrules  # slow to import, by every process that collects the tests

    rng = np.random.default_rng(3)
    values, quantiles = rng.normal(size=(40, 12)), np.sort(rng.normal(size=(40, 12, 7)), axis=2)
    pinball = [
        scoringrules.quantile_score(values, quantiles[..., i], q) for i, q in enumerate(QUANTILES)
    ]
    assert loss(values, quantiles) == pytest.approx(2 / 7 * np.sum(pinball, axis=0), rel=1e-5)


def test_the_sums_and_the_bands_are_those_of_the_oracle() -> None:
    import scoringrules

    happened, forecast = observed(), due()
    served = forecast.served
    values = happened.values[:, ISSUE : ISSUE + HOUR].astype(np.float64)
    sums = scored(happened, forecast)
    error = np.abs(values - forecast.served[..., 3])
    # the weighted interval score: of the median and of the 50, 80 and 96 % bands
    bands = [
        alpha
        / 2
        * scoringrules.interval_score(values, served[..., low], served[..., 6 - low], alpha)
        for low, alpha in ((2, 0.5), (1, 0.2), (0, 0.04))
    ]
    expected = 2 / 7 * (0.5 * error.sum() + np.sum(bands))
    assert total(sums, "loss") == pytest.approx(float(expected), rel=1e-4)
    inside = (served[..., 1] <= values) & (values <= served[..., 5])
    assert total(sums, "inside_80") == inside.sum()
    assert total(sums, "error") == pytest.approx(error.sum())


@given(seed=st.integers(0, 99), gaps=st.sampled_from([0.0, 0.3]), split=st.integers(1, 5))
def test_the_parts_of_a_fleet_add_up_to_the_whole(seed: int, gaps: float, split: int) -> None:
    happened, forecasts = (
        observed(6, seed, gaps),
        [due(6, lead, seed=lead) for lead in (0, 5, 90 - 7)],
    )
    whole = scored(happened, *forecasts)
    for part in (slice(0, split), slice(split, 6)):
        series = np.arange(6)[part]
        some = Observed(*(getattr(happened, f.name)[part] for f in fields(happened)))
        pieces = [
            DueForecasts(
                np.arange(len(series)), each.step, each.lead, each.is_served[part],
                *(getattr(each, name)[part] for name in DueForecasts.__slots__[4:]),
            )
            for each in forecasts
        ]  # fmt: skip
        alone = scored(some, *pieces)
        np.testing.assert_array_equal(alone.counts, whole.counts[part])
        np.testing.assert_allclose(alone.sums, whole.sums[part], rtol=1e-6)


@given(cut=st.integers(1, HOUR - 1), lead=st.integers(0, 84))
def test_the_parts_of_an_hour_add_up_to_the_whole(cut: int, lead: int) -> None:
    happened, forecast = observed(gaps=0.1), due(lead=lead)
    parts = [
        DueForecasts(
            forecast.series, forecast.step + part.start, lead + part.start, forecast.is_served,
            *(getattr(forecast, name)[:, part] for name in DueForecasts.__slots__[4:]),
        )
        for part in (slice(0, cut), slice(cut, HOUR))
    ]  # fmt: skip
    whole, both = scored(happened, forecast), scored(happened, *parts)
    np.testing.assert_array_equal(both.counts, whole.counts)
    np.testing.assert_allclose(both.sums, whole.sums, rtol=1e-5)


@pytest.mark.parametrize(
    ("lead", "targets"), [(0, [12, 0, 0]), (5, [7, 5, 0]), (12, [0, 12, 0]), (47, [0, 1, 11])]
)
def test_a_target_belongs_to_the_bucket_of_its_lead(lead: int, targets: list[int]) -> None:
    sums = scored(observed(1), due(1, lead))
    assert sums.counts[0, :, COUNTS.index("targets")].tolist() == targets


@pytest.mark.parametrize(("bound", "inside"), [(50.0, 12), (50.01, 0)])
def test_a_value_at_the_edge_of_a_band_is_inside(bound: float, inside: int) -> None:
    low = np.broadcast_to(np.array([bound] * 3 + [60] * 4, np.float32), (1, HOUR, 7))
    happened = level()
    happened.values[0, :100:2] = 40  # it moved in the 24 h before
    assert total(scored(happened, due(1, served=low)), "inside_50") == inside


def test_a_still_series_is_not_counted_as_moving() -> None:
    sums = scored(level(), due(1, served=flat(50)))
    assert (total(sums, "targets"), total(sums, "moving"), total(sums, "inside_96")) == (12, 0, 0)


def test_a_counter_is_not_counted_as_moving() -> None:
    happened = level()
    happened.values[0] = np.arange(happened.values.shape[1])
    assert total(scored(happened, due(1)), "moving") == 12
    sums = scored(replace(happened, counter=np.array([True])), due(1))
    assert (total(sums, "targets"), total(sums, "moving")) == (12, 0)


def test_where_the_value_24_h_before_is_missing_the_last_one_counts() -> None:
    happened = level()
    happened.values[0, ISSUE - 288 : ISSUE - 288 + HOUR] = 30
    happened.values[0, ISSUE - 288 + 2] = np.nan
    happened.values[0, ISSUE - 1] = 45
    sums = scored(happened, due(1))
    assert total(sums, "error_seasonal") == pytest.approx(11 * 20 + 5)
    assert total(sums, "error_naive") == pytest.approx(12 * 5)


def test_missing_truth_is_not_a_target() -> None:
    happened = level()
    happened.values[0, ISSUE + 3] = np.nan
    sums = scored(happened, due(1, served=flat(40)))
    assert total(sums, "targets") == 11
    assert total(sums, "loss") == pytest.approx(110)


def test_a_candidate_that_a_forecast_lacks_has_no_sum() -> None:
    context = flat(50)
    context[0, 3] = np.nan
    sums = scored(level(), due(1, context=context))
    assert np.isnan(total(sums, "loss_context"))
    assert total(sums, "loss") > 0


def test_what_somebody_did_between_issue_and_target_leaves_the_sums() -> None:
    happened = level()
    happened.acted[0, [ISSUE - 1, ISSUE + 8]] = True
    sums = scored(happened, due(1, served=flat(49)), due(1, 20))
    assert (total(sums, "targets"), total(sums, "acted_on")) == (8, 4 + 12)
    assert total(sums, "loss") == pytest.approx(8)


def test_a_forecast_that_was_not_served_is_scored_and_counted() -> None:
    sums = scored(level(), due(1, is_served=np.array([False])))
    assert [total(sums, name) for name in ("targets", "shadow", "abstained")] == [12, 12, 12]


def test_where_there_was_no_forecast_the_means_are_counted_alone() -> None:
    sums = scored(level(), due(1, model=flat(np.nan), is_served=np.array([False])))
    assert [total(sums, name) for name in ("targets", "shadow", "abstained")] == [0, 0, 12]
    assert total(sums, "loss") == 0


@pytest.mark.parametrize(("median", "near"), [(60.0, 12), (60.1, 0), (40.0, 12)])
def test_near_is_within_a_tenth_of_the_scale(median: float, near: int) -> None:
    assert total(scored(level(), due(1, served=flat(median))), "within_10") == near
