"""Changes of a context: what is understood, and what becomes of the values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rules.what_if import Change, ChangeInvalid, changed, level_of, parse_changes
from storage.model.metrics import METRIC_NAMES, METRICS, Metric

MEMORY = METRIC_NAMES.index("mem_used_pct")


def context(value: float = 50.0) -> np.ndarray:
    return np.full((288, len(METRIC_NAMES)), value, np.float32)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("mem_used_pct:-20%", [Change("mem_used_pct", factor=0.8)]),
        ("mem_used_pct:+10", [Change("mem_used_pct", added=10.0)]),
        ("mem_used_pct: 10", [Change("mem_used_pct", added=10.0)]),  # '+' in a URL is a space
        ("load_average:-1.5", [Change("load_average", added=-1.5)]),
        ("load_average:=30", [Change("load_average", to=30.0)]),
        ("traffic:x1.5", [Change("net_in_mb_s", 1.5), Change("net_out_mb_s", 1.5)]),
        ("net_in_mb_s:×2, swap_used_pct:*0,",
         [Change("net_in_mb_s", 2), Change("swap_used_pct", 0)]),
    ],
)  # fmt: skip
def test_changes_are_relative_absolute_factors_or_levels(text: str, changes: list[Change]) -> None:
    assert parse_changes(text) == changes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "set is '', expected METRIC:CHANGE, for example"),
        (",", "set is ',', expected METRIC:CHANGE"),
        ("mem_used_pct", "it has no ':'"),
        ("temperature:+1", "'temperature' is not a metric that is forecast (expected"),
        ("mem_used_pct:5 apples", "'5 apples' is not a change (expected for example '-20%'"),
        ("mem_used_pct:=30%", "'=30%' is not a change"),
        ("mem_used_pct:x1.5%", "'x1.5%' is not a change"),
        ("mem_used_pct:-120%", "expected no less than -100%"),
        ("mem_used_pct:x1e9", "'x1e9' is not a change"),
        ("mem_used_pct:x9999", "no more than x1000"),
        ("net_in_mb_s:+1,traffic:x2", "set changes net_in_mb_s twice"),
        ("x" * 1001, "set has 1001 characters"),
    ],
)  # fmt: skip
def test_what_is_not_a_change_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ChangeInvalid) as refused:
        parse_changes(text)
    assert message in str(refused.value)


def test_a_change_holds_for_the_whole_context_and_gaps_stay_gaps() -> None:
    before = context()
    before[10] = np.nan
    after = changed(before, parse_changes("mem_used_pct:-20%,load_average:+3"))
    assert np.isnan(after[10]).all()
    assert set(after[11:, MEMORY]) == {40.0}
    assert set(after[11:, METRIC_NAMES.index("load_average")]) == {53.0}
    assert (before[11:] == 50).all()


def test_a_level_moves_the_last_hour_there_and_keeps_the_shape() -> None:
    before = context()
    before[:, MEMORY] = np.linspace(10, 60, 288)
    after = changed(before, parse_changes("mem_used_pct:=30"))
    assert level_of(after, "mem_used_pct") == pytest.approx(30, abs=1e-3)
    assert np.diff(after[200:, MEMORY]) == pytest.approx(np.diff(before[200:, MEMORY]), abs=1e-4)


@given(st.sampled_from(METRICS), st.floats(-200, 200), st.floats(0, 1000))
def test_values_stay_in_the_range_of_the_metric(
    metric: Metric, added: float, factor: float
) -> None:
    after = changed(context(), [Change(metric.name, factor, added)])
    values = after[:, METRIC_NAMES.index(metric.name)]
    assert (values >= metric.lowest).all()
    assert metric.highest is None or (values <= metric.highest).all()


def test_the_level_of_a_metric_without_readings_is_not_known() -> None:
    assert np.isnan(level_of(context(np.nan), "mem_used_pct"))
    after = changed(context(np.nan), [Change("mem_used_pct", to=30.0)])
    assert np.isnan(after).all()
