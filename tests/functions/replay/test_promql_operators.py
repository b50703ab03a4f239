import numpy as np
import pytest

from functions.replay.promql_operators import (
    OVER_TIME,
    NotReplayable,
    Value,
    Vector,
    calculated,
    combined,
    compared,
)

NAN = np.nan


def vector(*values: float, of: str | None = None) -> Vector:
    return Vector(np.array([values]), of)


def calculated_vector(operator: str, left: Value, right: Value) -> Vector:
    result = calculated(operator, left, right)
    assert isinstance(result, Vector)
    return result


def shown(result: object) -> list[float]:
    assert isinstance(result, Vector)
    return [None if np.isnan(v) else v for v in result.values[0].tolist()]


def test_a_comparison_leaves_out_what_is_false_and_unknown() -> None:
    ours = vector(1, 5, NAN)
    assert shown(compared(">", ours, 3.0, False)) == [None, 5, None]
    assert shown(compared(">", 3.0, ours, True)) == [1, 0, None]


@pytest.mark.parametrize(
    ("operator", "expected"),
    [("and", [None, 2, None]), ("or", [1, 2, 3]), ("unless", [1, None, None])],
)
def test_sets_take_the_left_value(operator: str, expected: list[float]) -> None:
    assert shown(combined(operator, vector(1, 2, NAN), vector(NAN, 9, 3))) == expected


def test_a_share_of_a_total_is_a_plain_number_once_it_is_divided_by_it() -> None:
    total, free = vector(1, 1, of="disk"), vector(0.25, 0.5, of="disk")
    used = calculated_vector("-", total, free)
    assert used.of == "disk"
    ratio = calculated_vector("/", used, total)
    assert (ratio.of, shown(ratio)) == (None, [0.75, 0.5])
    assert calculated_vector("*", 100.0, free).of == "disk"
    with pytest.raises(NotReplayable, match="bytes are not kept"):
        calculated("/", free, vector(1, 1, of="memory"))
    with pytest.raises(NotReplayable, match="compare with 0"):
        compared("<", free, 1e9, False)


def test_a_division_by_zero_is_no_error() -> None:
    assert np.isinf(calculated_vector("/", vector(1), vector(0)).values).all()


def test_windows_over_time_begin_with_what_is_there() -> None:
    values = np.array([[1.0, NAN, 5.0, 3.0]])
    assert OVER_TIME["max_over_time"](values, 2)[0].tolist() == [1, 1, 5, 5]
    assert OVER_TIME["min_over_time"](values, 2)[0].tolist() == [1, 1, 5, 3]
    assert OVER_TIME["avg_over_time"](values, 3)[0].tolist() == [1, 1, 3, 4]
