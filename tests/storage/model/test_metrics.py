import numpy as np
import pytest

from storage.model.metrics import METRIC_NAMES, METRICS, RangeCheck, check_range, metric


def checked(name: str, *values: float) -> RangeCheck:
    return check_range(metric(name), np.array(values, np.float64))


def test_there_are_fourteen_metrics() -> None:
    assert len(METRIC_NAMES) == len(set(METRIC_NAMES)) == 14


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("mem_used_pct", float("nan"), "mem_used_pct: NaN"),
        ("mem_used_pct", 4520.0, "4520 % lies outside 0–100"),
        ("net_in_mb_s", -1.0, "-1 MB/s lies outside 0–100000"),
        ("net_in_mb_s", float("inf"), "infinity"),
        ("uptime_days", 864_000.0, "864000 days lies outside 0–10000: check the unit, or raise"),
        ("net_in_mb_s", 123_456_789.0, "123456789 MB/s lies outside"),
    ],
)
def test_an_impossible_value_is_refused_by_name_and_value(
    name: str, value: float, says: str
) -> None:
    assert says in (metric(name).refusal(value) or "")


def test_a_column_is_checked_at_once_and_nan_marks_a_missing_value() -> None:
    percent = metric("mem_used_pct")
    values = np.array([0, 100, np.nan, -1, 101, np.inf], np.float32)
    assert check_range(percent, values).impossible.tolist() == [False] * 3 + [True] * 3


def test_nan_is_impossible_where_a_value_was_sent() -> None:
    values, absent = np.array([np.nan, np.nan]), np.array([True, False])
    check = check_range(metric("load_average"), values, absent)
    assert check.impossible.tolist() == [False, True]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.41e38, -1.0, 0.0, 99.5, 101.0])
@pytest.mark.parametrize("name", ["mem_used_pct", "net_in_mb_s"])
def test_what_is_impossible_has_a_reason_and_nothing_else(name: str, value: float) -> None:
    wrong = check_range(metric(name), np.array([value]), np.array([False])).impossible[0]
    assert (metric(name).refusal(value) is not None) == wrong


def test_what_rounding_put_above_the_range_is_brought_down_and_does_not_count() -> None:
    check = checked("cpu_user_pct", 100.00005, np.nan, 7.0)
    np.testing.assert_array_equal(check.values, [100.0, np.nan, 7.0])
    assert not check.clamped.any()


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("cpu_user_pct", 100.005, 100), ("cpu_user_pct", 100.99, 100), ("disk_usage_pct", -0.5, 0),
        ("cpu_user_pct", 101, None), ("cpu_user_pct", -1, None),  # -1 often stands for no value
        ("net_in_mb_s", -0.001, None), ("net_in_mb_s", 100_001, None),  # no end of a scale
    ],
)  # fmt: skip
def test_less_than_one_percent_outside_a_scale_a_value_is_clamped_and_beyond_refused(
    name: str, value: float, stored: float | None
) -> None:
    check = checked(name, value)
    assert (check.clamped[0], check.impossible[0]) == (stored is not None, stored is None)
    np.testing.assert_array_equal(check.possible, [np.nan if stored is None else stored])


def test_every_metric_has_a_bound_of_what_can_be_true() -> None:
    assert {m.name: m.bounds[1] for m in METRICS if m.highest is None} == {
        "net_in_mb_s": 1e5, "net_out_mb_s": 1e5, "back_close_wait": 2**22,
        "front_close_wait": 2**22, "load_average": 2**22, "uptime_days": 1e4,
    }  # fmt: skip


def test_zero_is_a_value() -> None:
    assert metric("swap_used_pct").refusal(0.0) is None


def test_an_unknown_metric_is_named_with_those_that_exist() -> None:
    with pytest.raises(KeyError, match="cpu_user_pct"):
        metric("cpu")
