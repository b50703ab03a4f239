import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rules.evaluation.straight_lines import (
    PEERS,
    conditions,
    intervals,
    latched,
    met,
    met_for,
    predict_linear,
    seasonal_at_level,
)

SERIES = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=40)


def flags(text: str) -> np.ndarray:
    return np.array([[c == "x" for c in text]])


def shown(state: np.ndarray) -> str:
    return "".join("x" if each else "." for each in state[0])


@given(SERIES, st.integers(2, 12), st.integers(0, 48))
def test_predict_linear_is_the_least_squares_line_over_the_window(readings, window, ahead) -> None:
    values = np.array([[np.nan if r is None else r for r in readings]])
    line = predict_linear(values, window, ahead)[0]
    for t in range(len(readings)):
        part = values[0, max(0, t + 1 - window) : t + 1]
        x = np.arange(1 - len(part), 1)[~np.isnan(part)]
        if len(x) < 2:
            assert np.isnan(line[t])
            continue
        slope, intercept = np.polyfit(x, part[~np.isnan(part)], 1)
        assert line[t] == pytest.approx(intercept + slope * ahead, rel=1e-6, abs=1e-3)


def test_seasonal_naive_warns_eight_hours_before_the_hour_of_yesterdays_breach() -> None:
    values = np.zeros((1, 700))
    values[0, 300:303] = 9.0
    fires = np.flatnonzero(seasonal_at_level(values, np.array([9.0]))[0])
    assert fires.tolist() == list(range(588 - 96 + 2, 588))
    values[0, 302] = 0.0  # two in a row are no breach
    assert not seasonal_at_level(values, np.array([9.0])).any()


@pytest.mark.parametrize(
    ("minutes", "expected"), [(0, "xxxx.xx"), (5, ".xxx..x"), (15, "...x..."), (12, "...x...")]
)
def test_for_counts_from_the_first_evaluation_that_is_true(minutes, expected) -> None:
    assert shown(met_for(flags("xxxx.xx"), minutes)) == expected


def test_two_of_three_forgives_one_step() -> None:
    assert shown(met(flags("x.x..xx"), 2, 3)) == "..x...x"


def test_a_warning_closes_after_calm_and_then_stays_quiet() -> None:
    opens = flags("x..x......x.xx")
    assert shown(latched(opens, ~opens, 2)) == "xx.xx.....xxxx"
    assert shown(latched(opens, ~opens, 2, quiet=9)) == "xx..........xx"


def test_intervals_are_the_runs_of_each_row() -> None:
    state = np.array([[True, False, True, True], [False, False, False, True]])
    assert [each.tolist() for each in intervals(state)] == [[0, 0, 1], [0, 2, 3], [1, 4, 4]]


def test_a_gap_fires_no_rule() -> None:
    values = np.full((2, 400), np.nan)
    fired = conditions(values, np.array([1.0, 1.0]), np.array([0.5, 0.5]))
    assert tuple(fired) == PEERS
    assert not any(condition.any() for condition in fired.values())
