import numpy as np
import pytest

from storage.model.metrics import METRIC_NAMES, impossible, metric, without_rounding


def test_there_are_fourteen_metrics() -> None:
    assert len(METRIC_NAMES) == len(set(METRIC_NAMES)) == 14


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("mem_used_pct", float("nan"), "mem_used_pct: NaN"),
        ("mem_used_pct", 4520.0, "4520 % lies outside 0–100"),
        ("net_in_mb_s", -1.0, "-1 MB/s lies outside ≥ 0"),
        ("net_in_mb_s", float("inf"), "infinity"),
    ],
)
def test_an_impossible_value_is_refused_by_name_and_value(
    name: str, value: float, says: str
) -> None:
    assert says in (metric(name).refusal(value) or "")


def test_a_column_is_checked_at_once_and_nan_marks_a_missing_value() -> None:
    percent = metric("mem_used_pct")
    values = np.array([0, 100, np.nan, -0.01, 100.01, np.inf], np.float32)
    assert impossible(percent, values).tolist() == [False, False, False, True, True, True]


def test_nan_is_impossible_where_a_value_was_sent() -> None:
    values, absent = np.array([np.nan, np.nan]), np.array([True, False])
    assert impossible(metric("load_average"), values, absent).tolist() == [False, True]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.41e38, -1.0, 0.0, 99.5, 101.0])
@pytest.mark.parametrize("name", ["mem_used_pct", "net_in_mb_s"])
def test_what_is_impossible_has_a_reason_and_nothing_else(name: str, value: float) -> None:
    wrong = impossible(metric(name), np.array([value]), np.array([False]))[0]
    assert (metric(name).refusal(value) is not None) == wrong


def test_what_rounding_put_above_the_range_is_brought_down_and_no_more() -> None:
    result = without_rounding(metric("cpu_user_pct"), np.array([100.00005, 100.2, np.nan, 7.0]))
    np.testing.assert_array_equal(result, [100.0, 100.2, np.nan, 7.0])


def test_zero_is_a_value() -> None:
    assert metric("swap_used_pct").refusal(0.0) is None


def test_an_unknown_metric_is_named_with_those_that_exist() -> None:
    with pytest.raises(KeyError, match="cpu_user_pct"):
        metric("cpu")
