"""Numbers in columns: a whole column at once where it is clean, else value by value."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from functions.normalize.columns import Column, as_list

__all__ = ["Floats", "floats", "plain", "reduced"]

Floats = npt.NDArray[np.float64]

_CLEAN = frozenset({float, int, type(None)})
_TEXT = frozenset({str, type(None)})
_SHARE = re.compile(r"\s*(?P<number>[+-]?\d+(?:\.\d+)?)\s*%(?:\s.*)?", re.DOTALL)
REDUCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "max": max, "min": min, "sum": sum, "mean": lambda values: sum(values) / len(values),
}  # fmt: skip


def floats(column: Column, refuse: Callable[[int, Any], None], percent: bool) -> Floats:
    """The numbers of a column [n], NaN where there is none; `refuse` takes what is not a number.

    Text that holds a number counts as one, and `67% /mount` where `percent` are expected.
    """
    try:
        if isinstance(column, pa.Array):
            if _is_plain(column.type):
                return _dense(column)
        else:
            kinds = set(map(type, column))
            if kinds <= _CLEAN or kinds <= _TEXT:
                return _dense(pa.array(column, pa.string() if str in kinds else pa.float64()))
    except (pa.ArrowInvalid, OverflowError):  # such as an integer that no float holds exactly
        pass
    numbers = [_number(i, v, refuse, percent) for i, v in enumerate(as_list(column))]
    return np.array(numbers, np.float64)


def reduced(column: Column, take: str, refuse: Callable[[int, Any], None], percent: bool) -> Floats:
    """One number for each list of a column: the `max`, `min`, `sum` or `mean` of its elements."""
    reduce, values = REDUCTIONS[take], np.full(len(column), np.nan)
    for i, elements in enumerate(as_list(column)):
        if not isinstance(elements, list):
            elements = [elements]
        numbers = [_number(i, v, refuse, percent) for v in elements if v is not None]
        known = [v for v in numbers if v == v]
        if known:
            values[i] = reduce(known)
    return values


def _is_plain(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_floating(kind) or types.is_integer(kind) or types.is_string(kind))


def _dense(array: pa.Array) -> Floats:
    """A whole column; raises ArrowInvalid where a value needs a closer look."""
    numbers = array.cast(pa.float64())
    values: Floats = numbers.fill_null(np.nan).to_numpy(zero_copy_only=False)
    if np.isfinite(values).sum() + numbers.null_count < len(numbers):
        raise pa.ArrowInvalid("NaN or infinity")
    return values


def _number(i: int, value: Any, refuse: Callable[[int, Any], None], percent: bool) -> float:
    if value is None or value == "":
        return np.nan
    if type(value) in (int, float):
        try:
            return _finite(i, float(value), value, refuse)
        except OverflowError:
            refuse(i, value)
            return np.nan
    if isinstance(value, str):
        share = _SHARE.fullmatch(value) if percent else None
        try:
            return _finite(i, float(share["number"] if share else value), value, refuse)
        except ValueError:
            refuse(i, value)
            return np.nan
    try:
        if isinstance(value, bool | list | dict):
            raise TypeError
        return _finite(i, float(plain(value)), value, refuse)  # such as Decimal
    except (TypeError, ValueError):
        refuse(i, value)
        return np.nan


def plain(value: Any) -> Any:
    """A decimal of MongoDB as one of Python; any other value as it is."""
    return value.to_decimal() if hasattr(value, "to_decimal") else value


def _finite(i: int, number: float, value: Any, refuse: Callable[[int, Any], None]) -> float:
    if number - number != 0:  # NaN or infinity
        refuse(i, value)
        return np.nan
    return number
