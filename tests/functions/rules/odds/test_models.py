import numpy as np
import pytest

from functions.rules.fleet_state import NAMES
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
from functions.rules.odds.trend import FEATURES, TrendHead
from storage.model.grid import LEAD_MINUTES
from storage.model.schema import table

RAW = np.tile([0.02, 0.05, 0.1, 0.2, 0.4], (1, len(NAMES), 1))
CALM = np.zeros((1, len(NAMES)), bool)
FEATURES_OF_ALL = np.zeros((1, len(NAMES), FEATURES))
UP = Calibrator(GRID + 1)
ALWAYS_HALF = TrendHead(np.zeros(FEATURES), np.ones(FEATURES), np.zeros((5, FEATURES + 1)))


def test_without_a_fit_the_raw_odds_are_served() -> None:
    served = OddsModels().served(RAW, FEATURES_OF_ALL, CALM)
    assert served.p == pytest.approx(RAW)
    assert not served.trend.any()


def test_odds_never_fall_with_the_lead_when_one_lead_alone_is_calibrated() -> None:
    served = OddsModels(calibrators={60: UP}).served(RAW, FEATURES_OF_ALL, CALM)
    assert (np.diff(served.p, axis=-1) >= 0).all()
    assert served.p[0, 0, 1] > RAW[0, 0, 1]


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
