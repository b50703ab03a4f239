"""Numbers out of columns of any kind, with what is refused."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from functions.normalize.numbers import floats, reduced, remedy_for

NAN = math.nan


def read(column: Any, percent: bool = False, decimal: str = "") -> tuple[list[float], list[Any]]:
    refused: list[Any] = []
    numbers = floats(column, lambda _, value: refused.append(value), percent, decimal)
    return numbers.tolist(), refused


@pytest.mark.parametrize(
    "column",
    [
        [1, 2.5, None], ["1", "2.5", ""], pa.array([1.0, 2.5, None]), pa.array(["1", "2.5", None]),
        pa.array(["1", "2.5", ""]), [Decimal(1), Decimal("2.5"), None],
        pa.array([Decimal("1.0"), Decimal("2.5"), None]),
    ],
    ids=["numbers", "text", "floats", "strings", "blank", "decimals", "decimal array"],
)  # fmt: skip
def test_numbers_and_text_that_holds_numbers_are_read(column: Any) -> None:
    numbers, refused = read(column)
    np.testing.assert_array_equal(numbers, [1.0, 2.5, NAN])
    assert refused == []


@pytest.mark.parametrize("bad", ["n/a", True, {"x": 1}, [1], NAN, math.inf, 10**400])
def test_what_is_not_a_number_is_refused_and_the_others_are_read(bad: Any) -> None:
    numbers, refused = read([1.0, bad])
    np.testing.assert_array_equal(numbers, [1.0, NAN])
    assert len(refused) == 1


@pytest.mark.parametrize(
    "column", [pa.array([True, False]), pa.array(["x", "NaN"]), pa.array([NAN, math.inf])]
)
def test_arrays_are_held_to_the_same_rule(column: Any) -> None:
    numbers, refused = read(column)
    np.testing.assert_array_equal(numbers, [NAN, NAN])
    assert len(refused) == 2


def test_a_share_with_a_percent_sign_counts_only_where_percent_is_expected() -> None:
    assert read(["67% /mount"], percent=True) == ([67.0], [])
    assert read(["67% /mount"])[1] == ["67% /mount"]


def test_integers_beyond_53_bits_are_read_one_by_one() -> None:
    assert read([2**53 + 1, 1]) == ([float(2**53 + 1), 1.0], [])
    assert read(pa.array([2**53 + 1, 1])) == ([float(2**53 + 1), 1.0], [])


@pytest.mark.parametrize(("take", "value"), [("max", 9), ("min", 1), ("sum", 12), ("mean", 4)])
def test_a_list_is_reduced_to_one_number(take: str, value: float) -> None:
    refused: list[Any] = []
    column = [[1, "9", None, 2], [], None, 5, ["x"]]
    numbers = reduced(column, take, lambda i, v: refused.append((i, v)), False)
    np.testing.assert_array_equal(numbers, [value, NAN, NAN, 5, NAN])
    assert refused == [(4, "x")]


@pytest.mark.parametrize(
    "odd",
    ["1_0", "\u0661\u0662", "0x1F", "1,234.5", "12,5", "1 000", "Inf", "1e", "--5", "5 apples"],
)
def test_text_that_is_no_plain_number_is_refused_whatever_python_makes_of_it(odd: str) -> None:
    numbers, refused = read(["7", odd])
    np.testing.assert_array_equal(numbers, [7.0, NAN])
    assert refused == [odd]


@pytest.mark.parametrize(
    ("decimal", "texts", "numbers"),
    [
        (",", ["12,5", "1.234,5", "1.234", ",5"], [12.5, 1234.5, 1234, 0.5]),
        (",", ["7", "1\u00a0234", "1 234,5"], [7, 1234, 1234.5]),
        (",", ["12,5", "3,25"], [12.5, 3.25]),
        (".", ["12.5", "1,234.5", "1,234,567", "1'000"], [12.5, 1234.5, 1234567, 1000]),
        ("", [" 12.5 ", "1e1", "+3", ".5"], [12.5, 10, 3, 0.5]),
    ],
)  # fmt: skip
def test_a_stated_decimal_sign_is_followed(
    decimal: str, texts: list[str], numbers: list[float]
) -> None:
    assert read(texts, decimal=decimal) == (numbers, [])
    assert read(pa.array(texts), decimal=decimal) == (numbers, [])


def test_the_other_sign_is_refused_where_one_is_stated() -> None:
    assert read(["12.5", "1,23,4"], decimal=",")[1] == ["12.5", "1,23,4"]
    assert read(["12,5"], decimal=".")[1] == ["12,5"]


def test_a_point_is_doubted_in_a_column_that_has_decimal_commas() -> None:
    numbers, refused = read(["12,5", "1.234", "1.5"])
    np.testing.assert_array_equal(numbers, [NAN, NAN, 1.5])
    assert refused == ["12,5", "1.234"]
    assert read(["1.234", "1.5"]) == ([1.234, 1.5], [])


def test_a_share_may_have_a_decimal_comma() -> None:
    assert read(["12,5 %", "7%"], percent=True, decimal=",") == ([12.5, 7.0], [])
    assert read(["1_0%"], percent=True)[1] == ["1_0%"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("12,5", "write decimal = ',' in [mapping]"),
        ("1.234,5", "write decimal = ',' in [mapping]"),
        ("1,234.5", "write decimal = '.' in [mapping]"),
        ("1,234", "it can be thousands or a fraction"),
        ("1.234", "it can be thousands or a fraction"),
        ("n/a", "send a number"),
        (None, "send a number"),
    ],
)
def test_the_remedy_names_the_setting_that_would_help(value: Any, says: str) -> None:
    assert says in remedy_for(value)


def test_blank_text_is_missing() -> None:
    numbers, refused = read([" ", "1"])
    np.testing.assert_array_equal(numbers, [NAN, 1])
    assert refused == []
