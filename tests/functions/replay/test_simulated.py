from datetime import UTC, datetime

import numpy as np
import pytest

from functions.replay.outcomes import level_breaches, levels_of, with_possible
from functions.replay.simulated import SimulatedHistory, simulated_history

START = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def degrading() -> SimulatedHistory:
    return simulated_history("degrading", servers=4, days=1, seed=7, start=START)


def test_a_history_has_the_fleet_in_five_minute_means(degrading: SimulatedHistory) -> None:
    history = degrading.history
    assert history.values.shape == (4, 288, 14)
    assert history.span[0] == START
    assert len(degrading.cores) == 4
    assert not np.isnan(history.values).any()


def test_breaches_come_after_the_start_of_their_incident(degrading: SimulatedHistory) -> None:
    critical = levels_of(degrading.history, degrading.cores)[1]
    known = level_breaches(degrading.history, critical)
    possible = with_possible(known, degrading.causes).possible
    assert len(possible) > 3
    assert np.isnan(possible).mean() < 0.5
    assert (possible[~np.isnan(possible)] >= 0).all()


def test_a_healthy_fleet_has_no_cause() -> None:
    assert simulated_history("healthy", servers=2, days=0.1, seed=7, start=START).causes == {}
