import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.rules.fleet_state import LEAST_ODDS, NAMES
from functions.rules.odds.calibrator import GRID, Calibrator
from functions.rules.odds.models import (
    GROUP_OF,
    Fitted,
    OddsModels,
    odds_models,
    templates_from,
    templates_text,
)
from functions.rules.odds.reliability import reliability
from functions.rules.odds.trend import FEATURES, TERMS, TrendHead
from storage.model.grid import LEAD_MINUTES
from storage.model.schema import table

RAW = np.tile([0.02, 0.05, 0.1, 0.2, 0.4], (1, len(NAMES), 1))
CALM = np.zeros((1, len(NAMES)), bool)
FEATURES_OF_ALL = np.zeros((1, len(NAMES), FEATURES))
UP = Calibrator(GRID + 1)
ALWAYS_HALF = TrendHead(np.zeros(TERMS), np.ones(TERMS), np.zeros((5, TERMS + 1)))


def test_without_a_fit_the_raw_odds_are_served() -> None:
    served = OddsModels().served(RAW, FEATURES_OF_ALL, CALM)
    assert served.p == pytest.approx(RAW)
    assert not served.trend.any()


@given(
    st.lists(st.floats(0, 1), min_size=5, max_size=5),
    st.dictionaries(st.sampled_from(LEAD_MINUTES), st.floats(-9, 9)),
    st.sets(st.sampled_from(LEAD_MINUTES)),
)
@settings(max_examples=50)
def test_odds_never_fall_with_the_lead_and_are_never_certain(raw, shifts, trend_leads):
    models = OddsModels(
        calibrators={lead: Calibrator(GRID + shift) for lead, shift in shifts.items()},
        trend=ALWAYS_HALF, trend_serves=frozenset(("load", lead) for lead in trend_leads),
    )  # fmt: skip
    of_all = np.tile(np.sort(raw), (1, len(NAMES), 1))
    served = models.served(of_all, FEATURES_OF_ALL, CALM)
    assert (np.diff(served.p, axis=-1) >= 0).all()
    assert served.p.min() >= LEAST_ODDS
    assert served.p.max() <= 1 - LEAST_ODDS


def test_in_a_breach_the_raw_odds_stay() -> None:
    models = OddsModels(calibrators=dict.fromkeys(LEAD_MINUTES, UP), trend=ALWAYS_HALF,
                        trend_serves=frozenset((g, 60) for g in GROUP_OF))  # fmt: skip
    assert models.served(RAW, FEATURES_OF_ALL, ~CALM).p == pytest.approx(RAW)


def test_the_trend_head_serves_the_groups_and_leads_where_it_won() -> None:
    models = OddsModels(trend=ALWAYS_HALF, trend_serves=frozenset({("load", 480)}))
    served = models.served(RAW, FEATURES_OF_ALL, CALM)
    load = NAMES.index("load_average")
    assert np.flatnonzero(served.trend[0]).tolist() == [load]
    assert served.p[0, load] == pytest.approx([0.02, 0.05, 0.1, 0.2, 0.5])


def test_without_features_the_bands_serve() -> None:
    models = OddsModels(trend=ALWAYS_HALF, trend_serves=frozenset({("load", 480)}))
    served = models.served(RAW, np.full_like(FEATURES_OF_ALL, np.nan), CALM)
    assert not served.trend.any()
    assert np.isfinite(served.p).all()


def test_a_fit_is_a_row_of_its_table_and_an_empty_bin_is_null() -> None:
    held_out = reliability(np.array([0.5]), np.array([1.0]), np.ones(1), np.zeros(1, int))
    row = Fitted("calibration", "all", 60, 1, 1, held_out, float("nan")).row()
    assert set(row) <= set(table("odds_models").names)
    assert row["brier_other"] is None
    assert row["said"][0] is None


def test_a_calibrator_that_does_not_serve_is_not_read() -> None:
    parameters = {"log_odds": GRID.tolist()}
    rows = [
        Fitted("calibration", "all", lead, 40, 9, serves=lead > 60, parameters=parameters).row()
        for lead in LEAD_MINUTES
    ]
    models = odds_models(rows, 30)
    assert set(models.calibrators) == {120, 240, 480}
    assert models.checked


def test_templates_survive_their_text() -> None:
    templates = np.random.default_rng(0).integers(0, 256, (7, 96)).astype(np.uint8)
    np.testing.assert_array_equal(templates_from(templates_text(templates)), templates)
