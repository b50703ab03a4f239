"""What is served of a model's quantiles: calibrated, blended, in range and in order."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.model.grid import HORIZON_STEPS, QUANTILES
from storage.model.served import (
    BUCKET_OF_STEP,
    LEVEL_OF_QUANTILE,
    Floats,
    Recipe,
    candidates,
    served,
    served_rows,
)

LOW, HIGH = np.zeros(1, np.float32), np.full(1, 100, np.float32)


def raw(*quantiles: float) -> Floats:
    return np.broadcast_to(np.array(quantiles, np.float32), (1, HORIZON_STEPS, 7)).copy()


def with_widths(*widths: float) -> Recipe:
    each = np.broadcast_to(np.array(widths, np.float32), (1, 3, 3))
    return replace(Recipe.empty(1), widths=each)


def test_steps_and_quantiles_have_their_bucket_and_band() -> None:
    assert BUCKET_OF_STEP[[0, 11, 12, 47, 48, 95]].tolist() == [0, 0, 1, 1, 2, 2]
    assert LEVEL_OF_QUANTILE.tolist() == [2, 1, 0, -1, 0, 1, 2]


def test_without_a_recipe_the_model_itself_is_served() -> None:
    values = raw(-5, 10, 20, 30, 50, 60, 120)  # not even the range is touched
    np.testing.assert_array_equal(served_rows(values, Recipe.empty(1), LOW, HIGH), values)


def test_widths_scale_the_distances_from_the_median_within_the_range() -> None:
    shown = served_rows(raw(20, 30, 40, 50, 60, 70, 80), with_widths(0.5, 1.5, 2), LOW, HIGH)
    np.testing.assert_allclose(shown[0, 95], [0, 20, 45, 50, 55, 80, 100])


@given(
    st.lists(st.floats(0, 100, width=32), min_size=7, max_size=7),
    st.lists(st.floats(0.125, 8, width=32), min_size=3, max_size=3),
)
def test_served_quantiles_are_in_order_whatever_the_widths(
    values: list[float], widths: list[float]
) -> None:
    shown = served_rows(raw(*sorted(values)), with_widths(*widths), LOW, HIGH)[0, 0]
    assert (np.diff(shown) >= 0).all()
    assert shown[0] >= 0
    assert shown[-1] <= 100
    assert shown[3] == np.float32(sorted(values)[3])


def test_candidates_are_blended_by_their_shares_in_each_bucket() -> None:
    recipe = Recipe.empty(1, 14)
    recipe.weights[:] = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4])
    recipe.context[:] = 40
    recipe.seasonal[:] = 10
    recipe.seasonal_band[:] = 2
    recipe.last_band[:] = 8
    shown = served(np.full((1, HORIZON_STEPS, 14, 7), 20, np.float32), recipe)
    np.testing.assert_allclose(shown[0, [0, 12, 48], 0, 3], [20, 30, (20 + 40 + 12 + 8) / 4])


def test_a_candidate_that_is_missing_has_no_part() -> None:
    recipe = Recipe.empty(1, 14)
    recipe.weights[:] = [1, 0, 0, 0]
    values = np.full((1, HORIZON_STEPS, 14, len(QUANTILES)), 20, np.float32)
    assert (served(values, recipe) == 20).all()
    assert np.isnan(candidates(values, recipe)[1:]).all()


def test_where_the_model_has_no_forecast_none_is_served() -> None:
    values = np.full((2, HORIZON_STEPS, 14, len(QUANTILES)), np.nan, np.float32)
    recipe = Recipe.empty(2, 14)
    recipe.widths[:] = 2
    assert np.isnan(served(values, recipe)).all()


def test_the_blend_is_the_sum_of_the_shares_of_the_candidates() -> None:
    rng = np.random.default_rng(3)
    recipe = Recipe.empty(20, 14)
    recipe.widths[:10] = rng.uniform(0.3, 3, (10, 14, 3, 3))
    recipe.weights[5:] = rng.dirichlet(np.ones(4), (15, 14, 3))
    recipe.context[:] = np.sort(rng.normal(50, 40, (20, 14, 7)))
    recipe.seasonal[:] = rng.normal(50, 40, (20, 14, 96))
    recipe.seasonal_band[:] = np.sort(rng.normal(0, 9, (20, 14, 3, 7)))
    recipe.last_band[:] = np.sort(rng.normal(50, 40, (20, 14, 3, 7)))
    values = np.sort(rng.uniform(0, 100, (20, 96, 14, 7)).astype(np.float32))
    shares = np.where(np.isnan(recipe.weights), [1, 0, 0, 0], recipe.weights)[:, :, BUCKET_OF_STEP]
    expected = np.einsum("nmsc,cnsmq->nsmq", shares, candidates(values, recipe))
    np.testing.assert_allclose(served(values, recipe), expected, rtol=1e-5, atol=1e-4)


def test_a_part_of_the_steps_is_served_as_in_the_whole() -> None:
    rng = np.random.default_rng(4)
    recipe = Recipe.empty(5)
    recipe.widths[:] = rng.uniform(0.3, 3, (5, 3, 3))
    recipe.weights[:] = rng.dirichlet(np.ones(4), (5, 3))
    recipe.context[:] = recipe.last_band[:, 0] = 40
    recipe.seasonal[:], recipe.seasonal_band[:], recipe.last_band[:] = 30, 1, 20
    values = np.sort(rng.uniform(0, 100, (5, 96, 7)).astype(np.float32))
    bounds, steps = (np.zeros(5, np.float32), np.full(5, 100, np.float32)), slice(7, 60)
    part = replace(recipe, seasonal=recipe.seasonal[:, steps])
    whole = served_rows(values, recipe, *bounds)
    np.testing.assert_array_equal(
        served_rows(values[:, steps], part, *bounds, steps), whole[:, steps]
    )
