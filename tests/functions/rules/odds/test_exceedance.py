import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.rules.odds.exceedance import LEAD_STEPS, exceedance, logit, odds_within, sigmoid
from storage.model.grid import QUANTILES

percent = st.floats(0, 100, allow_nan=False)


@given(st.lists(percent, min_size=7, max_size=7), percent, st.floats(0.1, 50))
def test_exceedance_straightens_crossing_quantiles(quantiles, level, width):
    raw, straight = np.array(quantiles), np.maximum.accumulate(quantiles)
    args = (np.array(level), np.array(width))
    assert exceedance(raw, *args) == exceedance(straight, *args)


def test_exceedance_meets_the_quantiles_and_is_never_certain() -> None:
    quantiles = np.arange(7.0)
    width = np.array(1.0)
    for value, q in zip(quantiles, QUANTILES, strict=True):
        assert exceedance(quantiles, np.array(value), width) == pytest.approx(1 - q)
    assert exceedance(quantiles, np.array(1e9), width) == 0.001
    assert exceedance(quantiles, np.array(-1e9), width) == 0.999
    assert np.isnan(exceedance(np.full(7, np.nan), np.array(1.0), width))


def test_quantiles_mirror_themselves_so_that_idle_can_be_turned_round() -> None:
    assert [round(1 - q, 6) for q in reversed(QUANTILES)] == list(QUANTILES)


@given(st.lists(st.floats(0.001, 0.999), min_size=96, max_size=96))
@settings(max_examples=25)
def test_odds_within_a_lead_are_the_highest_of_its_steps_and_never_fall(curve):
    odds = odds_within(np.array(curve))
    assert odds.tolist() == [max(curve[:steps]) for steps in LEAD_STEPS]
    assert sorted(odds) == list(odds)


@given(st.floats(0.001, 0.999))
def test_logit_and_sigmoid_undo_each_other(p):
    assert sigmoid(logit(np.array(p))) == pytest.approx(p)
