from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from functions.rules.odds.cases import Cases
from functions.rules.odds.fit import fit_fleet, fit_odds, halves
from functions.rules.odds.models import ALL, Fitted, odds_models
from storage.model.grid import HORIZON_STEPS, LEAD_MINUTES
from tests.functions.rules.odds.odds_scenes import MEMORY, cases


# Not at the import: each process that collects the tests would compute them.
@cache
def known() -> Cases:
    return cases(servers=8, days=6)


@cache
def known_fits() -> dict[tuple[str, str, int], Fitted]:
    return {(f.kind, f.metric_group, f.lead_minutes): f for f in fit_odds(known())}


def test_the_last_third_is_judged_and_no_outcome_of_the_first_part_reaches_into_it() -> None:
    origin = np.arange(0, 3000, 3)
    fit_on, judge_on = halves(origin)
    assert judge_on.sum() == pytest.approx(len(origin) / 3, abs=2)
    assert origin[fit_on].max() + HORIZON_STEPS < origin[judge_on].min()


def test_calibrated_odds_serve_once_they_are_better_on_days_they_have_not_seen() -> None:
    fit = known_fits()["calibration", ALL, 480]
    assert fit.held_out is not None
    assert fit.other is not None
    assert fit.serves
    assert fit.events >= 30
    assert fit.held_out.brier < fit.other / 2
    said, came = (np.nanmax(each) for each in (fit.held_out.said, fit.held_out.came))
    assert 0.4 < said < came < 0.9  # from .02; with more events it would be nearer


def test_the_trend_head_serves_where_it_is_better_and_only_there() -> None:
    memory = [known_fits()["trend", "memory and disk", lead] for lead in LEAD_MINUTES]
    assert all(fit.serves for fit in memory[:3])
    assert not any(known_fits()["trend", "CPU", lead].serves for lead in LEAD_MINUTES)


def test_with_few_breaches_nothing_serves_yet() -> None:
    few = known().only((known().first < 0) | (known().first < np.unique(known().first)[10]))
    assert 0 < few.events < 30
    fits = fit_odds(few)
    assert not any(fit.serves for fit in fits)
    served = odds_models([fit.row() for fit in fits], 30)
    assert not served.checked
    assert not served.calibrators


def test_no_case_at_all_makes_calibrators_that_do_not_serve() -> None:
    fits = fit_odds(known().only(np.zeros(len(known()), bool)))
    assert {fit.kind for fit in fits} == {"calibration", "any"}
    assert not any(fit.serves for fit in fits)


def test_a_head_that_was_worse_on_the_last_days_does_not_serve() -> None:
    _, judge_on = halves(known().origin)
    opposite = np.where(judge_on[:, None], -known().features, known().features)
    fits = fit_odds(replace(known(), features=opposite))
    assert not any(fit.serves for fit in fits if fit.kind == "trend" and fit.lead_minutes == 60)


def test_what_was_fitted_is_read_back_from_its_rows() -> None:
    served = odds_models([fit.row() for fit in known_fits().values()], 30)
    assert served.checked
    assert set(served.calibrators) == {f.lead_minutes for f in known_fits().values()
                                       if f.kind == "calibration" and f.serves}  # fmt: skip
    head = served.trend
    assert head is not None
    features = known().features[:50].astype(float)
    in_breach = np.zeros((50, 8), bool)
    raw = np.full((50, 8, 5), 0.02)
    of_all = np.repeat(features[:, None], 8, axis=1)
    odds = served.served(raw, of_all, in_breach)
    assert odds.trend[:, MEMORY].all()
    assert odds.p[:, MEMORY, 0] == pytest.approx(head(features, known().metric[:50])[:, 0])


ORIGIN = np.arange(0, 12_000, 3)


def fleet_counts(true: float) -> tuple[np.ndarray, np.ndarray]:
    """What is expected of a fleet, of which `true` times as many come, and what came."""
    rng = np.random.default_rng(4)
    starts = rng.random(ORIGIN[-1] + 200) < 0.02 * true
    before = np.r_[0, np.cumsum(starts)]
    counts = [before[ORIGIN + steps] - before[ORIGIN] for steps in (6, 96)]
    expected = np.tile([0.02 * 6, 0.02 * 96], (len(ORIGIN), 1))
    return expected, np.stack(counts, axis=1)


def fitted_fleet(expected: np.ndarray, counts: np.ndarray, events: int) -> list[Fitted]:
    return [
        fit_fleet(minutes, expected[:, i], counts[:, i], ORIGIN, events)
        for i, minutes in enumerate((30, 480))
    ]


@pytest.mark.parametrize("true", [0.1, 1.0, 4.0])
def test_what_a_fleet_expects_is_scaled_to_what_came_of_it(true):
    expected, counts = fleet_counts(true)
    fits = fitted_fleet(expected, counts, 5)
    scales = odds_models([fit.row() for fit in fits], 30).fleet_scales
    assert scales[30] == pytest.approx(true, rel=0.3)
    assert scales[480] == pytest.approx(true, rel=0.3)


def test_a_healthy_fleet_without_a_breach_comes_to_expect_few() -> None:
    expected, counts = fleet_counts(1.0)
    fits = fitted_fleet(expected, counts * 0, 0)
    assert [fit.serves for fit in fits] == [False, False]
    assert max(odds_models([fit.row() for fit in fits], 30).fleet_scales.values()) < 0.02


def test_the_fleets_chance_is_calibrated_on_whether_any_server_breached() -> None:
    expected, counts = fleet_counts(1.0)
    together = np.where(counts[:, :1] > 0, 5 * counts, 0)  # five servers at a time
    fits = fitted_fleet(expected, np.stack([together[:, 0], counts[:, 1]], axis=1), 200)
    models = odds_models([fit.row() for fit in fits], 30)
    raw = 1 - np.exp(-models.fleet_scales[30] * 0.12)
    assert raw > 0.4
    assert models.fleet[30](np.array([raw]))[0] == pytest.approx((counts[:, 0] > 0).mean(), abs=0.1)


def test_without_a_history_what_is_expected_stays_as_it_is() -> None:
    none = np.zeros(0)
    fit = fit_fleet(30, none, none, np.zeros(0, int), 0)
    assert odds_models([fit.row()], 30).fleet_scales == {30: 1.0}
    assert not fit.serves
