"""Fit: the daily refit of calibrators and trend head on the fleet's own matured outcomes.

Each is fitted on the days before the last third, judged there on odds that it has not seen, then
fitted on all of them. It serves if it is not worse there than what serves without it.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from functions.rules.defaults import LEAST_EVENTS
from functions.rules.odds.calibrator import Calibrator, fit_calibrator
from functions.rules.odds.cases import Cases
from functions.rules.odds.exceedance import Floats
from functions.rules.odds.models import ALL, GROUP_OF, Fitted
from functions.rules.odds.reliability import Reliability, brier, reliability
from functions.rules.odds.trend import TrendHead, fit_trend
from storage.model.grid import HORIZON_STEPS, LEAD_MINUTES

__all__ = ["HELD_OUT_SHARE", "fit_fleet", "fit_odds", "halves"]

HELD_OUT_SHARE: Final = 1 / 3
LEAST_GROUP_EVENTS: Final = 5  # on the held-out days, for the trend of a group of metrics
FLEET_MINUTES: Final = (30, 480)

Mask = npt.NDArray[np.bool_]


def halves(origin: npt.NDArray[np.integer[Any]]) -> tuple[Mask, Mask]:
    """Return which cases to fit on and which to judge on: the last third of their time.

    Outcomes of 8 hours overlap: those that reach into the last third belong to neither.
    """
    if not len(origin):
        return np.zeros(0, bool), np.zeros(0, bool)
    first, last = int(origin.min()), int(origin.max())
    cut = last + 1 - (last + 1 - first) * HELD_OUT_SHARE
    return origin < cut - HORIZON_STEPS, origin >= cut


def fit_odds(cases: Cases) -> list[Fitted]:
    """Return the calibrators of each lead and the trend head, with how they did when held out."""
    calibration = [
        _calibration("calibration", cases, cases.raw[:, i], cases.came[:, i], minutes)
        for i, minutes in enumerate(LEAD_MINUTES)
    ]
    any_step = [
        _calibration("any", cases, cases.any_raw[:, i], cases.any_came[:, i], minutes)
        for i, minutes in enumerate(LEAD_MINUTES)
    ]
    return [*calibration, *any_step, *_trend(cases, calibration)]


def _calibration(kind: str, cases: Cases, raw: Floats, came: Floats, minutes: int) -> Fitted:
    known = ~np.isnan(raw) & ~np.isnan(came)
    fit_on, judge_on = halves(cases.origin)
    fit_on, judge_on = fit_on & known, judge_on & known
    trial = fit_calibrator(
        raw[fit_on], came[fit_on], cases.weight[fit_on], cases.only(fit_on).events
    )
    events = cases.only(known).events
    final = fit_calibrator(raw[known], came[known], cases.weight[known], events)
    held_out = _judged(
        trial(raw[judge_on]), came[judge_on], cases.weight[judge_on], cases.block[judge_on]
    )
    other = brier(raw[judge_on], came[judge_on], cases.weight[judge_on])
    return _fitted(kind, minutes, events, int(known.sum()), held_out, other, final)


def _judged(
    odds: Floats, came: Floats, weight: Floats, block: npt.NDArray[np.integer[Any]]
) -> Reliability | None:
    return reliability(odds, came, weight, block) if len(odds) else None


def _fitted(
    kind: str,
    minutes: int,
    events: int,
    count: int,
    held_out: Reliability | None,
    other: float,
    final: Calibrator,
) -> Fitted:
    """Return a calibrator; it serves from 30 breaches on, unless it was worse when held out."""
    serves = held_out is not None and events >= LEAST_EVENTS and held_out.brier <= other
    parameters = {"log_odds": [round(float(x), 4) for x in final.log_odds]}
    return Fitted(kind, ALL, minutes, events, count, held_out, other, serves, parameters)


def _trend(cases: Cases, calibration: list[Fitted]) -> Iterator[Fitted]:
    fit_on, judge_on = halves(cases.origin)
    if cases.only(fit_on).events == 0:
        return
    trial = fit_trend(cases.features[fit_on], cases.came[fit_on], cases.weight[fit_on])
    judged = cases.only(judge_on)
    odds, bands = trial(judged.features), _bands_held_out(cases, fit_on, judged, calibration)
    enough = cases.events >= LEAST_EVENTS
    for group in dict.fromkeys(GROUP_OF):
        of_group = np.array([GROUP_OF[metric] == group for metric in judged.metric], bool)
        for i in range(len(LEAD_MINUTES)):
            mask = of_group & ~np.isnan(judged.came[:, i])
            yield _trend_of_group(judged.only(mask), odds[mask], bands[mask], group, i, enough)
    head = fit_trend(cases.features, cases.came, cases.weight)
    yield Fitted("trend", ALL, 0, cases.events, len(cases), parameters=_as_json(head))


def _bands_held_out(cases: Cases, fit_on: Mask, judged: Cases, calibration: list[Fitted]) -> Floats:
    """Return the odds of the bands of the held-out cases, calibrated where that serves."""
    odds = judged.raw.copy()
    fit_cases = cases.only(fit_on)
    for i, each in enumerate(calibration):
        known = ~np.isnan(fit_cases.came[:, i])
        if each.serves:
            of_lead = fit_cases.only(known)
            trial = fit_calibrator(
                of_lead.raw[:, i], of_lead.came[:, i], of_lead.weight, of_lead.events
            )
            odds[:, i] = trial(judged.raw[:, i])
    return odds


def _trend_of_group(
    cases: Cases, odds: Floats, bands: Floats, group: str, i: int, enough: bool
) -> Fitted:
    minutes = LEAD_MINUTES[i]
    if not len(cases):
        return Fitted("trend", group, minutes, 0, 0)
    came = cases.came[:, i]
    held_out = reliability(odds[:, i], came, cases.weight, cases.block)
    other = brier(bands[:, i], came, cases.weight)
    serves = enough and cases.events >= LEAST_GROUP_EVENTS and held_out.brier < other
    count = len(cases)
    return Fitted("trend", group, minutes, cases.events, count, held_out, other, serves)


def _as_json(head: TrendHead) -> dict[str, Any]:
    return {name: np.round(getattr(head, name), 5).tolist() for name in TrendHead.__slots__}


def fit_fleet(
    raw: Floats, came: Floats, origin: npt.NDArray[np.integer[Any]], events: int
) -> list[Fitted]:
    """Return the calibrators of the fleet's chance of an incident within 30 minutes and 8 hours.

    `raw` [m, 2] are chances as issued at the steps `origin` [m], and `came` [m, 2] says whether any
    server breached. A block is 8 hours of the fleet.
    """
    result = []
    weight, block = np.ones(len(raw)), origin // HORIZON_STEPS
    fit_on, judge_on = halves(origin)
    for i, minutes in enumerate(FLEET_MINUTES):
        known = ~np.isnan(raw[:, i]) & ~np.isnan(came[:, i])
        fit, judge = fit_on & known, judge_on & known
        share = round(events * float(fit.sum()) / max(int(known.sum()), 1))
        trial = fit_calibrator(raw[fit, i], came[fit, i], weight[fit], share)
        final = fit_calibrator(raw[known, i], came[known, i], weight[known], events)
        held_out = _judged(trial(raw[judge, i]), came[judge, i], weight[judge], block[judge])
        other = brier(raw[judge, i], came[judge, i], weight[judge])
        result.append(_fitted("fleet", minutes, events, int(known.sum()), held_out, other, final))
    return result
