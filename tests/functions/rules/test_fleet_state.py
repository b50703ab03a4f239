"""What is known of a fleet, and of one server in it."""

from dataclasses import replace
from datetime import timedelta

import numpy as np

from functions.rules.fleet_state import (
    JUDGED,
    LEAST_ODDS,
    NAMES,
    Bands,
    FleetState,
    Future,
    Present,
    ServerState,
)
from storage.model.grid import HORIZON_STEPS, LEAD_MINUTES, STEP
from tests.functions.rules.risk_scenes import NOW, server, with_forecast

MEMORY = NAMES.index("mem_used_pct")


def state(curve: np.ndarray, breached: bool = False) -> ServerState:
    """A server whose odds for memory are `curve` [96]."""
    fleet = with_forecast(server())
    shape = (1, len(NAMES))
    none = np.zeros(shape)
    bands = Bands(none, none, none, none)
    marks = np.zeros(shape, bool)
    marks[0, MEMORY] = breached
    present = Present(np.zeros(1, bool), none, none, none, none[:, 0], none[:, 0], marks)
    by_metric = np.full((1, HORIZON_STEPS, len(NAMES)), np.nan)
    by_metric[0, :, MEMORY] = curve
    odds = by_metric[:, [lead // 5 - 1 for lead in LEAD_MINUTES]]
    return ServerState(0, fleet, bands, present, Future(by_metric, odds, odds, none[:, 0]), NOW)


def rising(step: int) -> np.ndarray:
    return np.where(np.arange(HORIZON_STEPS) < step, 0.0, 0.6)


def test_only_metrics_with_levels_are_judged() -> None:
    assert [metric.name for metric in JUDGED] == NAMES
    assert "uptime_days" not in NAMES


def test_a_part_of_a_fleet_has_the_same_servers_in_all_fields() -> None:
    one = server(mem_used_pct=90.0)
    both = FleetState(
        profiles=["generic", "web_api"],
        cores=[8, 4],
        recent=np.concatenate([one.recent, one.recent]),
        latest=np.concatenate([one.latest, one.latest]),
        age_s=np.array([3.0, 9.0]),
        quantiles=np.concatenate([one.quantiles, one.quantiles]),
        issued_at=[None, NOW],
    )
    second = both.part(slice(1, 2))
    assert (second.profiles, second.cores, second.issued_at) == (["web_api"], [4], [NOW])
    assert second.age_s.tolist() == [9.0]
    assert second.recent.shape == one.recent.shape


def test_a_breach_comes_at_the_first_step_that_reaches_the_odds() -> None:
    at = state(rising(12))
    assert at.breach_at(MEMORY, 0.5) == NOW + 12 * STEP
    assert at.breach_at(MEMORY, 0.9) is None
    assert at.breach_at(None, 0.5) is None


def test_a_breach_is_never_before_now() -> None:
    at = state(rising(1))
    late = replace(at, now=NOW + timedelta(hours=1))
    assert late.breach_at(MEMORY, 0.5) == late.now


def test_what_is_breached_now_is_nearly_certain_at_every_lead() -> None:
    at = state(rising(HORIZON_STEPS), breached=True)
    assert at.odds()[:, MEMORY].tolist() == [1 - LEAST_ODDS] * len(LEAD_MINUTES)
    assert at.breach_at(MEMORY, 0.5) == NOW


def test_without_a_forecast_there_are_no_odds_even_after_a_breach() -> None:
    at = state(np.full(HORIZON_STEPS, np.nan), breached=True)
    assert np.isnan(at.odds()).all()
