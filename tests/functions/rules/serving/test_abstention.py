"""Abstention: no skill, too many gaps, or a forecast far outside of what was seen."""

import numpy as np
import pytest

from functions.rules.serving.abstention import (
    Floats,
    gap_reason,
    no_skill_reason,
    outside,
    skill,
    with_gaps,
    without_skill,
)
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS

NAN = float("nan")


@pytest.mark.parametrize(
    ("served", "last", "seasonal", "expected"),
    [(80, 100, 200, 0.2), (120, 100, 200, -0.2), (80, 200, 100, 0.2), (80, 100, NAN, 0.2)],
)
def test_skill_is_against_the_better_naive_forecast(
    served: float, last: float, seasonal: float, expected: float
) -> None:
    assert skill(*(np.array([[x]]) for x in (served, last, seasonal))) == pytest.approx(expected)


def test_a_series_on_which_naive_forecasts_do_not_err_has_no_skill_to_judge() -> None:
    assert np.isnan(skill(*(np.array([[x]]) for x in (0.1, 0.0, 0.0))))


@pytest.mark.parametrize(
    ("skill", "excess", "hours", "abstained", "expected"),
    [
        (-0.1, 0.01, 48, False, True),
        (0.01, -0.01, 48, False, False),
        (-0.1, 0.01, 23, False, False),  # too little is known
        (-0.1, 0.0001, 48, False, False),  # nothing to speak of
        (0.01, -0.01, 48, True, True),  # comes back by a margin only
        (0.03, -0.01, 48, True, False),
        (NAN, 0.01, 48, True, False),
    ],
)
def test_without_skill_it_abstains_and_comes_back_by_a_margin(
    skill: float, excess: float, hours: float, abstained: bool, expected: bool
) -> None:
    one, two, three = (np.array([[x]], float) for x in (skill, excess, hours))
    assert without_skill(one, two, three, np.array([[abstained]])).item() is expected


def test_the_reasons_have_the_numbers() -> None:
    assert no_skill_reason(-0.25) == (
        "no skill: its losses of 7 days are 1.25 times those of a naive forecast"
    )
    assert gap_reason(15, 280) == "too many gaps: 15 of the last 280 steps have a reading"


@pytest.mark.parametrize(("every", "since", "gaps"), [(1, 288, False), (12, 288, False),
                                                      (18, 288, True), (1, 12, False)])  # fmt: skip
def test_readings_far_apart_are_too_many_gaps(every: int, since: int, gaps: bool) -> None:
    context = np.full((1, CONTEXT_STEPS, 1), NAN)
    context[:, CONTEXT_STEPS - since :: every] = 1
    mask, known, steps = with_gaps(context)
    assert (mask.item(), steps.item()) == (gaps, since)
    assert known.item() == -(-since // every)


def series(low: float, high: float) -> Floats:
    context = np.full((1, CONTEXT_STEPS, 14), NAN)
    context[:, ::2] = low
    context[:, 1:200:2] = high
    return context


@pytest.mark.parametrize(
    ("low", "high", "median", "far"),
    [(40, 50, 79, False), (40, 50, 81, True), (40, 50, 9, True), (40, 40, 42.5, False),
     (40, 40, 44, True)],
)  # fmt: skip
def test_a_median_that_leaves_the_readings_by_three_times_their_range_is_far_outside(
    low: float, high: float, median: float, far: bool
) -> None:
    quantiles = np.full((1, HORIZON_STEPS, 14, 7), float(low))
    quantiles[:, 50, :, 3] = median
    assert outside(series(low, high), quantiles)[0, 0] == far


def test_without_readings_or_forecast_nothing_is_outside() -> None:
    nothing = np.full((1, CONTEXT_STEPS, 14), NAN)
    assert not outside(nothing, np.full((1, HORIZON_STEPS, 14, 7), 45.0)).any()
    assert not outside(series(1, 2), np.full((1, HORIZON_STEPS, 14, 7), NAN)).any()
