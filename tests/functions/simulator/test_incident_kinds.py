"""Incident kinds: ranges of their minutes, and their probabilities per profile."""

import numpy as np
import pytest

from functions.simulator.incident_kinds import KIND_NAMES, KINDS, MINUTES, RUSHED, USUAL, Share
from storage.model.metrics import METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES


def probability(table: Share, profile: str, kind: str) -> float:
    row = np.diff(table[PROFILE_NAMES.index(profile)], prepend=0)
    return float(row[KIND_NAMES.index(kind)])


def test_each_kind_affects_known_metrics_and_has_ranges_in_order() -> None:
    for kind in KINDS:
        assert kind.metrics
        assert set(kind.metrics) <= set(METRIC_NAMES)
        assert kind.targets
    assert MINUTES.shape == (len(KINDS), 3, 2)
    assert (MINUTES[..., 0] < MINUTES[..., 1]).all()


@pytest.mark.parametrize("table", [USUAL, *RUSHED.values()], ids=["usual", *RUSHED])
def test_the_probabilities_of_a_profile_are_cumulative_up_to_1(table: Share) -> None:
    assert table.shape == (len(PROFILE_NAMES), len(KINDS))
    assert (np.diff(table, axis=1) >= 0).all()
    np.testing.assert_allclose(table[:, -1], 1)


def test_probabilities_follow_the_weights_of_the_profile() -> None:
    assert probability(USUAL, "ml_compute", "memory_leak") == pytest.approx(0.5)
    assert probability(USUAL, "risk_analytics", "end_of_day_overload") == pytest.approx(0.6)
    assert probability(USUAL, "web_api", "database_failure") == 0


def test_no_scenario_draws_a_cascade_victim_which_follows_its_database() -> None:
    for table in (USUAL, *RUSHED.values()):
        for profile in PROFILE_NAMES:
            assert probability(table, profile, "cascade_victim") == 0


def test_short_rounds_have_no_kind_that_is_bound_to_an_hour_or_needs_a_day() -> None:
    for profile in PROFILE_NAMES:
        assert probability(RUSHED["degrading"], profile, "end_of_day_overload") == 0
        for kind in ("end_of_day_overload", "disk_filling"):
            assert probability(RUSHED["critical"], profile, kind) == 0
        assert probability(RUSHED["cascade"], profile, "database_failure") == 1
