"""Fit: the daily refit of calibrators and trend head on the fleet's own matured outcomes.

Each is fitted on the days before the last third, judged there on odds that it has not seen, then
fitted on all of them. It serves if it is not worse there than what serves without it.
"""

from collections.abc import Iterator
from dataclasses import replace
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
from storage.model.grid import HORIZON_STEPS, LEAD_MINUTES, STEP_MINUTES

__all__ = ["HELD_OUT_SHARE", "fit_fleet", "fit_odds", "halves", "trend_head"]

HELD_OUT_SHARE: Final = 1 / 3
LEAST_GROUP_EVENTS: Final = 5  # on the held-out days, for the trend of a group of metrics
TREND_CASES: Final = 20_000
FLEET_MINUTES: Final = (30, 480)
_PRIOR_BREACHES: Final = 2.0

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
    trial = fit_calibrator(raw[fit_on], came[fit_on], cases.weight[fit_on], cases.events_in(fit_on))
    events = cases.events_in(known)
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
    if cases.events_in(fit_on) == 0:
        return
    trial = trend_head(cases.only(fit_on))
    judged = cases.only(judge_on)
    odds = trial(judged.features, judged.metric)
    bands = _bands_held_out(cases, fit_on, judged, calibration)
    enough = cases.events >= LEAST_EVENTS
    for group in dict.fromkeys(GROUP_OF):
        of_group = np.array([GROUP_OF[metric] == group for metric in judged.metric], bool)
        for i in range(len(LEAD_MINUTES)):
            mask = of_group & ~np.isnan(judged.came[:, i])
            yield _trend_of_group(judged.only(mask), odds[mask], bands[mask], group, i, enough)
    head = _as_json(trend_head(cases))
    yield Fitted("trend", ALL, 0, cases.events, len(cases), parameters=head)


def trend_head(cases: Cases) -> TrendHead:
    """Return the trend head fitted on the cases that tell most."""
    some = cases.thinned(TREND_CASES)
    return fit_trend(some.features, some.metric, some.came, some.weight)


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
    minutes: int, expected: Floats, count: Floats, origin: npt.NDArray[np.integer[Any]], events: int
) -> Fitted:
    """Return how the fleet's breaches within a lead follow from the sum of its odds.

    `expected` [m] are sums of odds as issued at the steps `origin` [m], all made in the same way,
    and `count` [m] the breaches that began. Their ratio scales what is expected, from the first day
    on; from 30 breaches on, a calibrator makes the chance of any breach of it. A block is 8 hours.
    """
    fit_on, judge_on = halves(origin)
    came, weight, block = (count > 0).astype(float), np.ones(len(count)), origin // HORIZON_STEPS
    step = float(np.median(np.diff(origin))) if len(origin) > 1 else 1.0
    overlap = minutes / STEP_MINUTES / step
    share = round(events * float(fit_on.sum()) / max(len(origin), 1))
    trial_scale = _scale(expected[fit_on], count[fit_on], overlap)
    trial = fit_calibrator(
        _chance(trial_scale * expected[fit_on]), came[fit_on], weight[fit_on], share
    )
    raw = _chance(trial_scale * expected[judge_on])
    held_out = _judged(trial(raw), came[judge_on], weight[judge_on], block[judge_on])
    other = brier(raw, came[judge_on], weight[judge_on])
    scale = _scale(expected, count, overlap)
    final = fit_calibrator(_chance(scale * expected), came, weight, events)
    made = _fitted("fleet", minutes, events, len(count), held_out, other, final)
    return replace(made, parameters={**made.parameters, "scale": round(scale, 5)})


def _scale(expected: Floats, count: Floats, overlap: float) -> float:
    """Return breaches that came for each one expected; near 1 while both are few."""
    return (float(count.sum()) / overlap + _PRIOR_BREACHES) / (
        float(expected.sum()) / overlap + _PRIOR_BREACHES
    )


def _chance(expected: Floats) -> Floats:
    chance: Floats = 1 - np.exp(-expected)
    return chance
