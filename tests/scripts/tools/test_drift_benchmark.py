from pathlib import Path

import numpy as np
import pytest

from functions.engine.forecaster import SHIPPED, Forecaster
from scripts.tools.drift_benchmark import (
    CHANGE_DAY,
    CHANGES,
    Losses,
    checked,
    hour_losses,
    losses_of,
    values_of,
)

HOURS = 20 * 24


def losses(change: float) -> Losses:
    random = np.random.default_rng(0)
    loss = np.exp(0.2 * random.normal(size=(6, 5, HOURS)))
    loss[..., CHANGE_DAY * 24 :] *= change
    return Losses(loss, np.ones_like(loss))


def test_a_change_that_stays_is_found_within_hours_and_trained_for_after_three_days() -> None:
    result = checked(losses(2.0), "doubled", 0, changes=True)
    assert (result.over, result.drifting) == (0, 0)
    assert result.checks > 100
    assert result.found_h is not None
    assert 3 <= result.found_h <= 6
    assert result.due_h is not None
    assert 72 <= result.due_h <= 80


def test_a_fleet_that_does_not_change_has_no_drift() -> None:
    result = checked(losses(1.0), "same", 0, changes=False)
    assert (result.over, result.found_h, result.due_h) == (0, None, None)
    assert result.checks > 300


@pytest.mark.parametrize("name", [name for name, (_, change) in CHANGES.items() if change])
def test_a_change_begins_at_its_step_and_leaves_the_uptime(name: str) -> None:
    values, _ = values_of("healthy", 3, 2, seed=1)
    change = CHANGES[name][1]
    assert change is not None
    changed = change(values, 300)
    np.testing.assert_array_equal(changed[:, :300], values[:, :300])
    np.testing.assert_array_equal(changed[..., -1], values[..., -1])
    assert (changed[:, 300:, :-1] != values[:, 300:, :-1]).mean() > 0.5


def test_losses_are_summed_by_the_hour_of_their_targets(tmp_path: Path) -> None:
    values, profiles = values_of("healthy", 2, 3, seed=1)
    made = hour_losses(Forecaster.open(SHIPPED), values, profiles, every_steps=144)
    assert made.targets[:, :, :48].sum() == 0
    assert (made.targets[:, :, 48] == 12).all()
    assert (made.loss[:, 0, 48:56] > 0).all()
    name = tmp_path / "drift_nothing_healthy_2x20_720m_s1.npz"
    np.savez(name, loss=made.loss, targets=made.targets)
    np.testing.assert_array_equal(
        losses_of(tmp_path, "nothing, healthy", 2, 1, 144).loss, made.loss
    )
