"""The calibration benchmark plays histories through the rules that serve."""

from dataclasses import replace

import numpy as np
import pytest

from functions.engine.forecaster import SHIPPED, Forecaster
from scripts.tools.calibration_benchmark import Trial, play, report
from storage.model.metrics import METRIC_NAMES
from tests.storage.small_fleets import fleet

HOURS = 12


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    """Two servers, of which the last 12 hours are played; forecasts reach 8 hours beyond 4."""
    history = fleet(servers=2, days=5)
    return play(history, Forecaster.open(SHIPPED), days=HOURS / 24)


def test_each_hour_learns_from_those_before_it(trials: list[Trial]) -> None:
    alone, narrow, wide, _ = trials
    assert alone.calibration.state.updates.max() == 4 * 3
    cpu = METRIC_NAMES.index("cpu_user_pct")
    by_trial = [each.calibration.state.fleet[cpu, 0, 1] for each in (wide, alone, narrow)]
    assert by_trial == sorted(by_trial)  # the narrower the band, the more it is widened


def test_all_trials_are_scored_on_the_same_targets(trials: list[Trial]) -> None:
    targets = [each.sums["targets"] for each in trials]
    assert targets[0].sum() > 0
    assert all((each == targets[0]).all() for each in targets)
    assert (trials[0].sums["loss raw"] == trials[3].sums["loss raw"]).all()
    assert (trials[0].sums["served1"] <= trials[0].sums["moving"]).all()
    assert targets[0][0].sum() < targets[0][3].sum()  # the first hour has one issue to go by


def test_the_report_covers_the_days_after_the_first_two(trials: list[Trial]) -> None:
    longer = [
        replace(each, sums={name: np.tile(values, (12, 1, 1, 1)) for name, values in
                            each.sums.items()})
        for each in trials
    ]  # fmt: skip
    lines = list(report("fleet", longer, np.array([True, True])))
    assert len(lines) == 4
    assert lines[0].startswith("fleet, bands x 1: 80 % 0.")
    assert "more than 2 % worse" in lines[3]
