from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from functions.rules.evaluation.scoring import held_out_windows
from scripts.tools import pretrain
from scripts.tools.pretrain import SIMULATED_FROM, simulated
from storage.model.profiles import PROFILE_NAMES
from tests.storage.small_fleets import fleet


def test_a_step_of_a_simulated_fleet_is_the_mean_of_its_samples() -> None:
    one, five = (simulated(2, 1, seed=3, samples=samples).values for samples in (1, 5))
    assert one.shape == five.shape == (2, 288, 14)
    noise = [np.abs(np.diff(values[..., 0], axis=1)).mean() for values in (one, five)]
    assert noise[1] < noise[0]


def test_a_simulated_rack_of_20_has_every_profile() -> None:
    history = simulated(20, 1, seed=0, samples=1)
    assert set(history.profiles.tolist()) == set(range(len(PROFILE_NAMES)))
    assert history.start_s == SIMULATED_FROM.timestamp()


def test_scenarios_change_every_6_hours_unless_the_fleet_is_calm() -> None:
    assert len(pretrain._timeline(2, calm=True)) == 1
    timeline = pretrain._timeline(2, calm=False)
    assert len(timeline) == 8
    assert {(b[0] - a[0]).seconds for a, b in pairwise(timeline)} == {21_600}


def test_windows_are_scored_apart_by_labelled_anomalies_for_the_model_alone() -> None:
    history = fleet(2, days=6)
    marks = np.zeros(history.values.shape[:2], np.bool_)
    marks[0] = True
    windows = held_out_windows(type(history)(
        history.servers, history.profiles, history.start_s, history.values, marks
    ))  # fmt: skip
    assert set(pretrain._parts("model", windows)) == {"model", "… anomalous", "… calm"}
    assert set(pretrain._parts("seasonal naive", windows)) == {"seasonal naive"}


def test_the_folder_of_the_datasets_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        pretrain._arguments([])
    assert "--real" in capsys.readouterr().err
    assert pretrain._arguments(["--real", "data"]).real == Path("data")
