import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rules.evaluation.warning_quality import (
    JudgedBreaches,
    JudgedWarnings,
    WarningQuality,
    warning_quality,
)

SPAN = (0.0, 4800.0)
OPEN = math.inf
TIMES = st.lists(st.tuples(st.floats(0, 4800), st.floats(1, 900)), max_size=8)


def warnings(*spans, averted=False, metric=0) -> JudgedWarnings:
    opened, closed = np.array(spans, float).reshape(-1, 2).T
    n = len(opened)
    return JudgedWarnings(np.zeros(n, int), np.full(n, metric), opened, closed, np.full(n, averted))


def breaches(*spans, possible=math.nan) -> JudgedBreaches:
    started, ended = np.array(spans, float).reshape(-1, 2).T
    n = len(started)
    return JudgedBreaches(np.zeros(n, int), np.zeros(n, int), started, ended, np.full(n, possible))


def judged(ours: JudgedWarnings, theirs: JudgedBreaches) -> WarningQuality:
    return warning_quality(ours, theirs, SPAN, servers=1)


def test_a_warning_that_is_open_at_the_breach_is_right_with_its_lead() -> None:
    quality = judged(warnings((900, 1010)), breaches((1000, 1030), possible=200.0))
    assert (quality.right, quality.false, quality.precision) == (1, 0, 1.0)
    assert quality.recall == {30: 1.0, 60: 1.0, 120: 0.0, 240: 0.0}
    assert (quality.lead_median, quality.possible_median) == (100.0, 200.0)
    assert quality.possible_share == 0.5


@pytest.mark.parametrize(
    ("ours", "counts"),
    [
        (warnings((900, 990)), (0, 1, 0, 1)),  # closed before the breach
        (warnings((900, 990), averted=True), (0, 0, 1, 0)),
        (warnings((900, 1000), averted=True), (1, 0, 0, 0)),
        (warnings((900, OPEN), metric=3), (0, 1, 0, 0)),  # of another metric, and still open
        (warnings((1010, 1100)), (0, 0, 0, 0)),  # opened in the breach
        (warnings((1149, 1160)), (0, 0, 0, 0)),  # or just after it
        (warnings((1151, 1160)), (0, 1, 0, 1)),
    ],
)
def test_each_warning_counts_once(ours, counts) -> None:
    quality = judged(ours, breaches((1000, 1030)))
    assert (quality.right, quality.false, quality.averted, quality.withdrawn) == counts


def test_a_warning_open_for_days_has_a_lead_of_eight_hours_and_its_time_is_shown() -> None:
    quality = judged(warnings((0, OPEN)), breaches((2400, 2500), (4000, 4100)))
    assert (quality.lead_median, quality.lead_p10) == (480.0, 480.0)
    assert (quality.right, quality.time_warned) == (1, 1.0)


def test_a_breach_is_left_out_when_only_the_last_ones_warning_was_open() -> None:
    quality = judged(warnings((1010, 1500)), breaches((1000, 1030), (1400, 1430)))
    assert (quality.breaches, quality.recurring, quality.neither) == (1, 1, 1)
    assert quality.missed == 1
    assert quality.recall[30] == 0.0


def test_warnings_of_the_last_eight_hours_are_not_judged_and_their_time_is_not_divided_by() -> None:
    quality = judged(warnings((4400, 4410), (100, 110)), breaches())
    assert (quality.unjudged, quality.false) == (1, 1)
    assert quality.host_days == pytest.approx(3.0)
    assert quality.false_per_host_day == pytest.approx(1 / 3)
    assert math.isnan(quality.recall[30])


def test_time_warned_counts_overlapping_warnings_of_a_server_once() -> None:
    both = JudgedWarnings(
        np.zeros(2, int), np.array([0, 1]), np.array([0.0, 1200]), np.array([2400.0, 3600]),
        np.zeros(2, bool),
    )  # fmt: skip
    assert warning_quality(both, breaches(), SPAN, servers=2).time_warned == pytest.approx(0.375)


@given(TIMES, TIMES)
def test_every_judged_warning_is_right_false_or_averted(spans, events) -> None:
    ours = warnings(*((start, start + length) for start, length in spans))
    theirs = breaches(*((start, start + length) for start, length in events))
    quality = judged(ours, theirs)
    assert quality.right + quality.false + quality.averted == quality.warnings
    assert quality.warnings + quality.neither + quality.unjudged == len(spans)
    assert 0 <= quality.time_warned <= 1
    json.dumps(quality.as_json(), allow_nan=False)
