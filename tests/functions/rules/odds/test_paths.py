import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.rules.odds.exceedance import LEAD_STEPS
from functions.rules.odds.paths import TEMPLATES, path_odds, rank_templates
from storage.model.grid import HORIZON_STEPS, QUANTILES

RNG = np.random.default_rng(3)
LEADS = np.array(LEAD_STEPS)
NORMAL = np.array([-2.05, -1.28, -0.67, 0.0, 0.67, 1.28, 2.05])


def templates_of(truth: np.ndarray) -> np.ndarray:
    """The templates of truths [k, 96] within standard normal forecasts."""
    quantiles = np.broadcast_to(NORMAL, (len(truth), HORIZON_STEPS, len(QUANTILES)))
    return rank_templates(quantiles, truth, np.ones(len(truth)), np.random.default_rng(0))


INDEPENDENT = templates_of(RNG.normal(size=(300, HORIZON_STEPS)))
TOGETHER = templates_of(np.repeat(RNG.normal(size=(300, 1)), HORIZON_STEPS, axis=1))


@given(st.lists(st.floats(0.001, 0.999), min_size=96, max_size=96))
@settings(max_examples=25)
def test_paths_are_between_the_highest_step_and_the_sum_of_all_and_never_fall(curve):
    steps = np.array([curve])
    odds = path_odds(steps, INDEPENDENT, ()).odds[0]
    assert (odds >= np.maximum.accumulate(steps[0])[LEADS - 1] - 1e-12).all()
    assert (odds <= np.cumsum(steps[0])[LEADS - 1] + 1e-12).all()
    assert (np.diff(odds) >= 0).all()


def test_steps_that_fail_alone_add_up_and_steps_that_fail_together_do_not() -> None:
    curve = np.full((1, HORIZON_STEPS), 0.05)
    together = path_odds(curve, TOGETHER, ()).odds[0]
    alone = path_odds(curve, INDEPENDENT, ()).odds[0]
    np.testing.assert_allclose(together, 0.05, atol=0.04)
    np.testing.assert_allclose(alone, 1 - 0.95**LEADS, atol=0.12)


def test_the_times_are_when_shares_of_the_paths_are_at_the_level() -> None:
    curve = np.where(np.arange(HORIZON_STEPS) < 24, 0.001, 0.4)[None]
    first = path_odds(curve, TOGETHER, (0.1, 0.3, 0.9)).first[0]
    assert first.tolist() == [24, 24, -1]


def test_a_template_has_no_gap_and_there_are_at_most_200() -> None:
    truth = RNG.normal(size=(300, HORIZON_STEPS))
    truth[:50, 7] = np.nan
    assert len(INDEPENDENT) == TEMPLATES == 200
    assert len(templates_of(truth[:80])) == 30
