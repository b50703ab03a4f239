"""What is written beside a forecast so that it can be served."""

from dataclasses import replace

import numpy as np
import pytest

from functions.rules.serving.calibration import SHAPE
from functions.rules.serving.recipes import ServingState, abstentions, leading_names, recipe_of
from functions.rules.serving.state_rows import NamedCalibration, NamedRace
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS
from storage.model.metrics import METRIC_NAMES

M = len(METRIC_NAMES)


@pytest.fixture
def context() -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.normal(50, 5, (2, CONTEXT_STEPS, M)).astype(np.float32)


def raced(evidence: float = 72.0) -> NamedRace:
    race = NamedRace.new(("a", "b"))
    race.state.hours[0] = evidence
    race.shares[0] = [0.25, 0.25, 0.3, 0.2]
    race.seasonal_band[:] = race.last_band[:] = np.arange(-3, 4)
    return race


def test_a_model_without_scores_is_served_as_it_is(context: np.ndarray) -> None:
    recipe = recipe_of(context, ("web", "db"), ServingState(None, NamedRace.new(("a", "b"))))
    assert np.isnan(recipe.widths).all()
    assert np.isnan(recipe.weights).all()
    assert leading_names(recipe) == [None] * 2 * M
    assert np.isfinite(recipe.context).all()  # the candidates can be scored all the same
    assert np.isfinite(recipe.seasonal).all()


def test_widths_are_the_sum_of_the_fleet_the_profile_and_the_server(context: np.ndarray) -> None:
    named = NamedCalibration.new().of(("web",), ("b",))
    state = replace(named.state, fleet=np.full(SHAPE, 0.1), profiles=np.full((1, *SHAPE), 0.2),
                    servers=np.full((1, *SHAPE), 0.4))  # fmt: skip
    serving = ServingState(replace(named, state=state), raced())
    widths = recipe_of(context, ("web", "db"), serving).widths
    np.testing.assert_allclose(widths[0], np.exp(0.3), rtol=1e-6)
    np.testing.assert_allclose(widths[1], np.exp(0.5), rtol=1e-6)


def test_weights_come_with_what_they_blend(context: np.ndarray) -> None:
    recipe = recipe_of(context, ("web", "db"), ServingState(None, raced()))
    np.testing.assert_allclose(recipe.weights[0, 0, 0], [0.25, 0.25, 0.3, 0.2])
    assert np.isnan(recipe.weights[1]).all()
    last = context[0, -1, 0]
    np.testing.assert_allclose(recipe.last_band[0, 0, 2], last + np.arange(-3, 4), rtol=1e-6)
    np.testing.assert_array_equal(recipe.seasonal[0, 0], context[0, :HORIZON_STEPS, 0])
    assert leading_names(recipe)[0] == "seasonal"


def test_a_gap_24_hours_before_takes_the_last_value(context: np.ndarray) -> None:
    context[0, 5, 0] = context[0, -1, 0] = np.nan
    recipe = recipe_of(context, ("web", "db"), ServingState(None, raced()))
    assert recipe.seasonal[0, 0, 5] == context[0, -2, 0]


def test_the_share_of_a_forecast_that_cannot_be_made_goes_to_the_model(
    context: np.ndarray,
) -> None:
    race = raced()
    race.seasonal_band[0] = np.nan
    recipe = recipe_of(context, ("web", "db"), ServingState(None, race))
    np.testing.assert_allclose(recipe.weights[0, 0, 0], [0.55, 0.25, 0, 0.2], rtol=1e-6)


def test_each_abstention_has_its_reason(context: np.ndarray) -> None:
    quantiles = np.full((2, HORIZON_STEPS, M, 7), 50, np.float32)
    race = raced()
    race.abstains[0, 0] = "no skill: by its scores"
    quantiles[0, 3, 1] = 100_000
    context[1, :, 2] = np.nan
    context[1, ::20, 2] = 50
    whys = abstentions(context, quantiles, race)
    assert set(whys) == {(0, 0), (0, 1), (1, 2)}
    assert [why.split(":")[0] for _, why in sorted(whys.items())] == [
        "no skill", "far outside", "too many gaps"
    ]  # fmt: skip
