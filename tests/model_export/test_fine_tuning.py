from dataclasses import replace

import numpy as np
import pytest

from model_export.fine_tuning import parted, tune
from model_export.train import Checkpoint, Recipe
from storage.query.history import HistoryError
from tests.model_export.small_networks import SMALL, small_network
from tests.storage.small_fleets import fleet

TWO_DAYS = fleet(servers=10, days=2)


def test_two_days_are_enough_and_their_newest_hours_are_kept_aside() -> None:
    parts = parted(TWO_DAYS)
    np.testing.assert_array_equal(parts.newest.target, TWO_DAYS.values[:, -96:])
    known = ~np.isnan(parts.learned.values[0, :, 0])
    assert known.sum() == 576 - 2 * 96
    learned = parts.learned.values[:, known]
    np.testing.assert_array_equal(learned, TWO_DAYS.only([0, 1, 3, 4, 5, 6, 8, 9]).values[:, :384])


def test_other_hosts_and_later_hours_are_watched() -> None:
    later, others = parted(TWO_DAYS).watched
    np.testing.assert_array_equal(later.target, TWO_DAYS.values[:, -192:-96])
    assert len(others.context) == 2 * others.origins
    np.testing.assert_array_equal(others.target[-1], TWO_DAYS.values[7, 288:384])


def test_with_weeks_of_history_days_are_kept_aside() -> None:
    parts = parted(fleet(servers=2, days=21))
    assert parts.newest.origins == 10
    assert parts.newest.context.shape[0] == 20


def test_too_little_history_is_refused_with_what_is_needed() -> None:
    with pytest.raises(HistoryError, match="12 h of history, and training needs 36"):
        parted(TWO_DAYS.before(144))


def test_a_start_that_is_better_than_all_that_was_learned_is_kept() -> None:
    start = Checkpoint(small_network(), 0, 0.0, (), 0)
    recipe = Recipe(steps=2, batch=4, rate=5.0, warmup=0.0)  # at such a rate it forgets everything
    found = tune(parted(TWO_DAYS), recipe, start)
    assert found.followed == 0.0
    before, after = start.network.state_dict(), found.checkpoint.network.state_dict()
    assert all(before[n].equal(after[n]) for n in before if n != "fusion.widening")


def test_what_is_learned_makes_the_watched_hours_better() -> None:
    start = Checkpoint(small_network(), 100, 1.0, (), 0)
    few = TWO_DAYS.only([0, 1, 2])
    recipe = Recipe(steps=50, batch=8, rate=1e-2, average=0.8)
    found = tune(parted(few), recipe, start)
    untouched = tune(parted(few), replace(recipe, steps=1, rate=1e-12), start)
    assert found.followed > 0
    assert found.loss < 0.95 * untouched.loss
    assert found.checkpoint.windows_seen > 100


def test_a_fleet_of_few_hosts_is_learned_from_whole() -> None:
    parts = parted(fleet(servers=3, days=3))
    assert len(parts.learned.servers) == 3
    assert len(parts.watched) == 1
    assert tune(parts, Recipe(steps=1, batch=2), None, SMALL).followed == 1.0
