import numpy as np
import pytest

from functions.rules.evaluation.promotion import compare_models
from functions.rules.evaluation.scoring import SeriesScores
from storage.model.metrics import GROUPS, METRIC_NAMES

RANDOM = np.random.default_rng(0)
SERVING = RANDOM.uniform(0.5, 0.8, (20, 14))


def scores(loss: np.ndarray) -> SeriesScores:
    other = np.full_like(loss, 0.8)
    return SeriesScores(loss, other, other, other)


def times(factor: float, noise: float = 0.02) -> np.ndarray:
    return SERVING * factor * np.exp(noise * RANDOM.normal(size=SERVING.shape))


def test_a_model_that_is_better_everywhere_is_promoted() -> None:
    verdict = compare_models(scores(times(0.9)), scores(SERVING))
    assert verdict.promote
    assert verdict.overall.change == pytest.approx(np.log(0.9), abs=0.01)
    assert set(verdict.groups) == set(GROUPS)


def test_a_model_that_is_better_by_chance_only_is_not() -> None:
    verdict = compare_models(scores(times(0.999, noise=0.5)), scores(SERVING))
    assert not verdict.promote
    assert "beyond noise" in verdict.why


def test_one_group_of_metrics_that_gets_worse_is_enough_to_refuse() -> None:
    loss = times(0.9)
    loss[:, METRIC_NAMES.index("load_average")] *= 1.3
    verdict = compare_models(scores(loss), scores(SERVING))
    assert not verdict.promote
    assert verdict.why.startswith("worse than the serving model: load (")


def test_nothing_behind_naive_serves_even_when_it_is_better_than_before() -> None:
    poor, loss = SERVING.copy(), times(0.9)
    network = [METRIC_NAMES.index(m) for m in GROUPS["network"]]
    poor[:, network], loss[:, network] = 1.5, 1.2
    verdict = compare_models(scores(loss), scores(poor))
    assert not verdict.promote
    assert verdict.why.startswith("worse than yesterday's value: network")


def test_servers_that_move_together_count_once() -> None:
    mood = np.exp(0.3 * RANDOM.normal(size=(20, 1)))
    together = compare_models(scores(SERVING * mood), scores(SERVING)).overall.noise
    alone = compare_models(scores(times(1.0, 0.3)), scores(SERVING)).overall.noise
    assert together > 2.5 * alone


def test_metrics_that_were_not_scored_do_not_count() -> None:
    loss = times(0.9)
    loss[:, 1:] = np.nan
    verdict = compare_models(scores(loss), scores(SERVING))
    assert list(verdict.groups) == ["CPU"]
    with pytest.raises(ValueError, match="nothing to judge by"):
        compare_models(scores(np.full_like(loss, np.nan)), scores(SERVING))
