from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from functions.rules.evaluation.baselines import Array
from functions.rules.evaluation.scoring import held_out_windows
from functions.rules.evaluation.stability import SHIFT_STEPS
from scripts.cli import promotion_gate
from scripts.cli.promotion_gate import acted_windows, judge
from storage.model.grid import HORIZON_STEPS, QUANTILES
from storage.query.history import History
from tests.conftest import LakeFixture
from tests.storage.small_fleets import fleet

HISTORY = fleet(servers=5, days=5)
ORIGINS = 6
NEWEST = held_out_windows(HISTORY, origins=ORIGINS)
SHIFTED = held_out_windows(HISTORY.before(-SHIFT_STEPS), origins=3)
NOBODY = np.zeros(5 * ORIGINS, np.bool_)


def yesterday(context: Array, _: Array, __: object, off: float = 0.0) -> Array:
    """The value 24 h before, moved by `off`, with a band of two points."""
    around = np.linspace(-1, 1, len(QUANTILES), dtype=np.float32)
    return context[:, :HORIZON_STEPS, :, None] + around + np.float32(off)


def moved(context: Array, clock: Array, profile: object) -> Array:
    return yesterday(context, clock, profile, off=2.0)


def test_both_models_are_compared_on_the_same_windows_and_by_portions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = judge(NEWEST, SHIFTED, yesterday, moved, NOBODY)
    assert whole.overall.change < -0.3
    assert whole.windows == (30, 0)
    assert whole.jumps[0] == pytest.approx(0.0, abs=1e-5)  # yesterday's value of a target stays
    monkeypatch.setattr(promotion_gate, "SERVERS_AT_ONCE", 2)
    parts = judge(NEWEST, SHIFTED, yesterday, moved, NOBODY)
    assert parts.as_dict() == whole.as_dict()


def test_a_target_that_one_model_does_not_forecast_counts_for_neither() -> None:
    def partly(context: Array, clock: Array, profile: object) -> Array:
        made = moved(context, clock, profile)
        made[:, ::2] = np.nan
        return made

    verdict = judge(NEWEST, SHIFTED, partly, moved, NOBODY)
    assert verdict.overall.change == pytest.approx(0.0, abs=1e-6)


def at(history: History, hours: float) -> datetime:
    return history.span[1] + timedelta(hours=hours)


def test_windows_with_an_act_or_a_reboot_are_named(house: LakeFixture) -> None:
    values = HISTORY.values.copy()
    values[1, -10:, -1] = 0.01  # it rebooted in the newest window
    history = replace(HISTORY, values=values)
    house.put("marks", [
        {"mark": "1", "ts": at(history, -9), "kind": "deploy", "pattern": "app00[34]",
         "starts_at": at(history, -9), "ends_at": at(history, -8.5)},
        {"mark": "2", "ts": at(history, -1), "kind": "silence", "server": "app000"},
        {"mark": "3", "ts": at(history, -99), "kind": "acting", "server": "app000"},
    ])  # fmt: skip
    house.commit()
    left_out = acted_windows(house.folders, history, ORIGINS).reshape(5, ORIGINS)
    expected = np.zeros((5, ORIGINS), np.bool_)
    expected[1, -1] = expected[3, -2] = expected[4, -2] = True
    np.testing.assert_array_equal(left_out, expected)
