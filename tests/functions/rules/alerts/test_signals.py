from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from functions.rules.alerts.rule import Rule
from functions.rules.alerts.signals import Levels, OddsHistory, Signal, ValueHistory, signals
from storage.model.grid import LEAD_MINUTES
from tests.functions.rules.alerts.scenes import MEMORY, ODDS_ROW, T0, minutes

KEY = ("a", MEMORY)
NAN = float("nan")
CALM = [60.0] * 30


def values(steps: Sequence[float], sign: float = 1.0, level: float = 98.0) -> ValueHistory:
    """One series whose last step ends at T0; its warn level is 10 under the critical one."""
    array = sign * np.array([steps])
    levels = Levels(np.array([sign * (level - sign * 10)]), np.array([sign * level]))
    return ValueHistory([KEY], np.array([sign]), levels, array, array, T0)


def odds(
    one_hour: Sequence[float], gap: float = 5, cadence: float = 5, checked: bool = True,
    trend: bool = False, age: float = 0,
) -> OddsHistory:  # fmt: skip
    """Odds of one series within an hour, issued `gap` minutes apart, the last `age` before T0."""
    count = len(one_hour)
    p = np.zeros((1, count, len(LEAD_MINUTES)))
    p[0, :, LEAD_MINUTES.index(60)] = one_hour
    p[0, np.isnan(one_hour)] = NAN
    times = [T0 - minutes(age + gap * (count - 1 - i)) for i in range(count)]
    flags = np.full((1, count), True)
    return OddsHistory([KEY], times, p, p, flags & checked, flags & trend, [ODDS_ROW], cadence, T0)


_NONE = np.zeros((0, 0, len(LEAD_MINUTES)))
NO_ODDS = OddsHistory([], [], _NONE, _NONE, _NONE[..., 0] > 0, _NONE[..., 0] > 0, [], 5, T0)


def seen(
    steps: Sequence[float] = CALM, issued: OddsHistory = NO_ODDS, rule: Rule | None = None
) -> Signal:
    """The signal of a series that is watched."""
    rule = rule or Rule(name="breach")
    (signal,) = signals(rule, np.array([True]), values(steps), issued, frozenset({KEY}))
    return signal


@pytest.mark.parametrize(
    ("issued", "warns"),
    [
        (odds([0.01, 0.2, 0.3]), True),  # 2 of 3
        (odds([0.3, 0.01, 0.3]), True),
        (odds([0.3, 0.01, 0.01, 0.3]), False),  # 1 of the last 3
        (odds([0.19, 0.19, 0.19]), False),
        (odds([0.3], gap=15, cadence=15), True),  # one issue is 15 minutes
        (odds([0.3] * 5 + [0.01] * 3, trend=True), False),
        (odds([0.3] * 6 + [0.01] * 2, trend=True), True),  # 6 of 8
        (odds([0.3] * 3, trend=True), False),  # 15 minutes are not 30
        (odds([0.3] * 3, checked=False), False),  # until they were checked it takes more
        (odds([0.3] * 3, age=25), False),
        (odds([0.3, NAN, NAN]), False),
    ],
)
def test_it_warns_by_minutes_and_not_by_issues(issued: OddsHistory, warns: bool) -> None:
    assert seen(issued=issued).warns is warns


@pytest.mark.parametrize(
    ("issued", "pages"),
    [
        (odds([0.5, 0.5]), True),
        (odds([0.5, 0.4]), False),
        (odds([0.9] * 8, checked=False), False),  # only odds that were checked page
        (odds([0.6] * 2, trend=True), True),
    ],
)
def test_it_pages_by_odds_that_were_checked(issued: OddsHistory, pages: bool) -> None:
    assert seen(issued=issued).pages is pages


@pytest.mark.parametrize(
    ("issued", "below"),
    [
        (odds([0.3, 0.09, 0.09, 0.09]), 10.0),
        (odds([0.3, 0.09, 0.11, 0.09]), 0.0),  # over half of .2
        (odds([0.09] * 4), 15.0),
        (odds([0.09, NAN, NAN, 0.09]), 15.0),  # 15 minutes without a row are usual
        (odds([0.09, 0.09, NAN, NAN, NAN, NAN, 0.09]), 0.0),  # 25 are a gap
        (odds([0.09, 0.3]), 0.0),
    ],
)
def test_low_odds_count_since_they_are_low_without_a_gap(issued: OddsHistory, below: float) -> None:
    assert seen(issued=issued).below_minutes == below


@pytest.mark.parametrize(
    ("tail", "started"),
    [
        ([98.0, 98.0, 98.0], 15),
        ([99.0] * 6, 30),
        ([97.9, 99.0, 99.0], None),
        ([99.0, 99.0, NAN, 99.0], None),
        ([99.0, 99.0, 99.0, 60.0], 20),  # a run that has just ended
        ([99.0, 99.0, 99.0, NAN], 20),
        ([99.0, 99.0, 99.0, 60.0, 60.0, 60.0, 60.0], None),
    ],
)
def test_a_breach_is_three_steps_in_a_row_at_the_level(
    tail: list[float], started: int | None
) -> None:
    began = seen([60.0] * 20 + tail).breached_at
    assert began == (None if started is None else T0 - minutes(started))


def test_a_rule_on_single_samples_takes_one() -> None:
    rule = Rule(name="any", samples="any")
    assert seen([60.0] * 20 + [99.0], rule=rule).breached_at == T0 - minutes(5)


def test_a_rule_may_ask_for_longer_than_a_breach() -> None:
    rule = Rule(name="long", breach="30m")
    assert seen([60.0] * 20 + [99.0] * 5, rule=rule).breached_at is None
    assert seen([60.0] * 20 + [99.0] * 6, rule=rule).breached_at == T0 - minutes(30)


@pytest.mark.parametrize(
    ("tail", "under"),
    [
        ([99.0, 60.0, 60.0], 10.0),
        ([99.0, 97.0, 97.0], 0.0),  # under the level, but not clear of it
        ([99.0, 60.0, NAN, 60.0], 10.0),  # a missing step does not count
        ([99.0, 60.0, NAN, NAN, NAN], 0.0),  # nothing is known of now
        ([99.0, NAN, NAN], 0.0),
    ],
)
def test_only_values_that_are_there_count_as_under_the_level(
    tail: list[float], under: float
) -> None:
    assert seen([99.0] * 20 + tail).under_minutes == under


def test_low_is_bad_where_the_metric_says_so() -> None:
    history = values([50.0] * 20 + [1.0] * 3, sign=-1.0, level=2.0)
    (signal,) = signals(Rule(name="breach"), np.array([True]), history, NO_ODDS)
    assert (signal.threshold, signal.value) == (2.0, 1.0)
    assert signal.breached_at == T0 - timedelta(minutes=15)


def test_a_series_without_trouble_and_without_an_episode_needs_no_attention() -> None:
    covered = np.array([True])
    assert signals(Rule(name="breach"), covered, values(CALM), odds([0.1] * 3)) == []


def test_a_series_that_a_rule_does_not_cover_has_no_signal() -> None:
    high = values([60.0] * 20 + [99.0] * 3)
    assert signals(Rule(name="breach"), np.array([False]), high, NO_ODDS, frozenset({KEY})) == []


def test_a_level_as_a_number_has_no_odds() -> None:
    rule = Rule(name="mine", level=80.0)
    signal = seen([60.0] * 20 + [85.0] * 3, odds([0.9] * 3), rule)
    assert (signal.threshold, signal.warns) == (80.0, False)
    assert signal.breached_at == T0 - minutes(15)


def test_the_odds_told_are_those_nearest_to_opening() -> None:
    signal = seen(issued=odds([0.25, 0.3]))
    assert (signal.p, signal.lead_minutes) == (0.3, 60)
