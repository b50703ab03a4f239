from dataclasses import replace

import numpy as np
import pytest

from model_export.fine_tuning import fine_tune, split_history
from model_export.train import Checkpoint, Recipe
from storage.query.history import HistoryError
from tests.model_export.small_networks import SMALL, small_network
from tests.storage.small_fleets import fleet

TWO_DAYS = fleet(servers=10, days=2)


def test_two_days_are_enough_and_their_newest_hours_are_held_out() -> None:
    split = split_history(TWO_DAYS)
    np.testing.assert_array_equal(split.test.target, TWO_DAYS.values[:, -96:])
    known = ~np.isnan(split.training.values[0, :, 0])
    assert known.sum() == 576 - 2 * 96
    training = split.training.values[:, known]
    np.testing.assert_array_equal(training, TWO_DAYS.only([0, 1, 3, 4, 5, 6, 8, 9]).values[:, :384])


def test_other_hosts_and_later_hours_are_for_validation() -> None:
    later, others = split_history(TWO_DAYS).validation
    np.testing.assert_array_equal(later.target, TWO_DAYS.values[:, -192:-96])
    assert len(others.context) == 2 * others.origins
    np.testing.assert_array_equal(others.target[-1], TWO_DAYS.values[7, 288:384])


def test_with_weeks_of_history_days_are_held_out() -> None:
    split = split_history(fleet(servers=2, days=21))
    assert split.test.origins == 10
    assert split.test.context.shape[0] == 20


def test_too_little_history_is_refused_with_what_is_needed() -> None:
    with pytest.raises(HistoryError, match="12 h of history, and training needs 36"):
        split_history(TWO_DAYS.before(144))


def test_initial_weights_that_are_better_than_the_trained_ones_are_kept() -> None:
    start = Checkpoint(small_network(), 0, 0.0, (), 0)
    recipe = Recipe(steps=2, batch=4, rate=5.0, warmup=0.0)  # a rate that destroys the weights
    result = fine_tune(split_history(TWO_DAYS), recipe, start)
    assert result.kept_share == 0.0
    before, after = start.network.state_dict(), result.checkpoint.network.state_dict()
    assert all(before[n].equal(after[n]) for n in before if n != "fusion.widening")


def test_fine_tuning_lowers_the_validation_loss() -> None:
    start = Checkpoint(small_network(), 100, 1.0, (), 0)
    few = TWO_DAYS.only([0, 1, 2])
    recipe = Recipe(steps=50, batch=8, rate=1e-2, average=0.8)
    result = fine_tune(split_history(few), recipe, start)
    untouched = fine_tune(split_history(few), replace(recipe, steps=1, rate=1e-12), start)
    assert result.kept_share > 0
    assert result.loss < 0.95 * untouched.loss
    assert result.checkpoint.windows_seen > 100


def test_of_a_fleet_of_few_hosts_all_are_trained_on() -> None:
    split = split_history(fleet(servers=3, days=3))
    assert len(split.training.servers) == 3
    assert len(split.validation) == 1
    assert fine_tune(split, Recipe(steps=1, batch=2), None, SMALL).kept_share == 1.0
