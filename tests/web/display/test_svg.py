"""SVG path data of lines and bands."""

import numpy as np

from web.display.svg import band_path, line_path, rows_of

NAN = float("nan")


def rows(*values: float) -> list[int]:
    return rows_of(np.array(values, dtype=np.float32), 0, 100, 50)


def test_the_highest_value_is_at_the_top() -> None:
    assert rows(100, 50, 0) == [0, 25, 50]


def test_values_outside_the_range_are_clipped_to_it() -> None:
    assert rows(250, -3) == [0, 50]


def test_a_missing_value_has_no_row() -> None:
    assert rows(NAN, 0) == [-1, 50]


def test_an_empty_range_does_not_divide_by_zero() -> None:
    assert rows_of(np.array([5.0], dtype=np.float32), 5, 5, 50) == [50]


def test_a_gap_breaks_the_line() -> None:
    assert line_path([1, 2, -1, 3, 4]) == "M0 1L1 2M3 3L4 4"


def test_a_single_value_between_gaps_is_a_dot() -> None:
    assert line_path([-1, 7, -1, 8]) == "M1 7h0M3 8h0"


def test_a_line_starts_at_its_first_step_and_advances_by_its_step() -> None:
    assert line_path([1, 2], first=96, step=2) == "M96 1L98 2"


def test_a_band_runs_forward_above_and_back_below() -> None:
    assert band_path([9, 8], [1, 2], first=5) == "M5 1L6 2L6 8L5 9Z"
    assert band_path([], []) == ""
