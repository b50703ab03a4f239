from dataclasses import replace

import numpy as np
import pytest

from functions.rules.fleet_state import NAMES, Bands, bands_of
from functions.rules.odds.breaches import CARRY_STEPS
from functions.rules.odds.issue import IssuedOdds, issue
from functions.rules.odds.models import GROUP_OF, OddsModels
from functions.rules.odds.paths import Ranks
from functions.rules.odds.trend import TERMS, TrendHead
from storage.model.grid import LEAD_MINUTES
from storage.model.metrics import METRIC_NAMES
from tests.functions.rules.risk_scenes import column, server, with_forecast, with_odds

MEMORY = NAMES.index("mem_used_pct")
ONE_PATH: Ranks = np.full((50, 96), 250, np.uint8)
BANDS: Bands = bands_of(["generic"], [8])


def made(models: OddsModels, reading: float = 40.0, p: float = 0.3) -> IssuedOdds:
    """Odds of a server whose memory reads `reading` and passes its level with `p` in two hours."""
    fleet = with_odds("mem_used_pct", p, 120)
    recent = np.repeat(fleet.latest[:, None], CARRY_STEPS, axis=1)
    recent[0, :, column("mem_used_pct")] = reading
    return issue(recent, fleet.quantiles, BANDS, models)


def test_odds_are_those_of_the_highest_step_within_each_lead() -> None:
    odds = made(OddsModels())
    assert odds.p[0, MEMORY] == pytest.approx([0.001, 0.001, 0.3, 0.3, 0.3], abs=0.002)
    assert odds.value[0, MEMORY] == 40.0
    assert np.isnan(odds.any_p).all()  # there are no paths yet


def test_without_paths_the_times_are_those_of_the_steps() -> None:
    assert made(OddsModels()).first[0, MEMORY].tolist() == [23, -1, -1]


def test_with_paths_a_single_step_is_at_least_as_likely_as_three_in_a_row() -> None:
    odds = made(OddsModels(templates={MEMORY: ONE_PATH}))
    assert odds.any_raw[0, MEMORY] == pytest.approx(
        [0.001, 0.001, 0.323, 1, 1], abs=0.01
    )  # at most the sum
    assert (odds.any_p[0, MEMORY] >= odds.p[0, MEMORY]).all()
    assert odds.first[0, MEMORY].tolist() == [23, 23, 23]


def test_the_times_of_the_trend_head_are_those_of_its_own_odds() -> None:
    rising = TrendHead(np.zeros(TERMS), np.ones(TERMS), np.zeros((5, TERMS + 1)))
    rising.coefficients[:, 0] = [-9.0, -9.0, 0.0, 2.0, 2.5]  # one half within two hours
    everywhere = frozenset((group, lead) for group in GROUP_OF for lead in LEAD_MINUTES)
    models = OddsModels(trend=rising, trend_serves=everywhere)
    odds = made(models)
    assert odds.trend[0, MEMORY]
    assert odds.first[0, MEMORY].tolist() == [14, 23, 69]


def test_odds_that_the_bands_do_not_see_are_not_small_where_the_trend_head_does() -> None:
    sure = TrendHead(np.zeros(TERMS), np.ones(TERMS), np.zeros((5, TERMS + 1)))
    models = OddsModels(trend=sure, trend_serves=frozenset({("memory and disk", 60)}))
    calm = with_forecast(server(), spread=0.01)
    recent = np.repeat(calm.latest[:, None], CARRY_STEPS, axis=1)
    assert issue(recent, calm.quantiles, BANDS, OddsModels()).small[0, MEMORY]
    assert not issue(recent, calm.quantiles, BANDS, models).small[0, MEMORY]
    assert not made(OddsModels(), p=0.3).small[0, MEMORY]


def test_the_fleet_expects_the_sum_of_what_its_metrics_do() -> None:
    fleet = made(OddsModels()).fleet
    assert fleet.expected == pytest.approx([0, 0.3], abs=0.01)
    assert fleet.chance == pytest.approx([0.001, 1 - np.exp(-0.3)], abs=0.01)


def test_small_odds_of_thousands_of_metrics_are_no_incident_before_they_are_calibrated() -> None:
    fleet = with_odds("mem_used_pct", 0.015, 30)
    recent = np.repeat(fleet.latest[:, None], CARRY_STEPS, axis=1)
    recent, quantiles = (np.repeat(each, 50, axis=0) for each in (recent, fleet.quantiles))
    odds = issue(recent, quantiles, bands_of(["generic"] * 50, [8] * 50), OddsModels())
    assert odds.fleet.chance[1] < 0.01


def test_a_metric_in_a_breach_is_no_breach_to_come() -> None:
    odds = made(OddsModels(), reading=99.0)
    assert odds.fleet.expected[1] == pytest.approx(0, abs=0.01)


def test_a_server_without_a_forecast_has_no_odds_and_changes_nothing() -> None:
    fleet = with_odds("mem_used_pct", 0.3, 120)
    none = replace(fleet, quantiles=np.full_like(fleet.quantiles, np.nan))
    recent = np.repeat(fleet.latest[:, None], CARRY_STEPS, axis=1)
    both = issue(
        np.concatenate([recent, recent]), np.concatenate([fleet.quantiles, none.quantiles]),
        bands_of(["generic"] * 2, [8, 8]), OddsModels(),
    )  # fmt: skip
    assert np.isnan(both.p[1]).all()
    assert both.fleet.expected == pytest.approx(made(OddsModels()).fleet.expected)


def test_an_empty_fleet_has_no_odds() -> None:
    nobody = issue(np.zeros((0, CARRY_STEPS, len(METRIC_NAMES))), np.zeros((0, 96, 14, 7)),
                   bands_of([], []), OddsModels())  # fmt: skip
    assert nobody.p.shape == (0, len(NAMES), 5)
