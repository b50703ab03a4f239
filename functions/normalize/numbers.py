"""Numbers out of values: fast where a column is clean, one by one where it is not."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Floats", "floats", "plain", "reduced"]

Floats = npt.NDArray[np.float64]

_CLEAN = frozenset({float, int, type(None)})
_TEXT = frozenset({str, type(None)})
_SHARE = re.compile(r"\s*(?P<number>[+-]?\d+(?:\.\d+)?)\s*%(?:\s.*)?", re.DOTALL)
REDUCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "max": max, "min": min, "sum": sum, "mean": lambda values: sum(values) / len(values),
}  # fmt: skip


def floats(column: Sequence[Any], refuse: Callable[[int, Any], None], percent: bool) -> Floats:
    """The numbers of a column, NaN where there is none; `refuse` is told of what is no number.

    Text that holds a number counts as one, and `67% /mount` where `percent` are expected.
    """
    kinds = set(map(type, column))
    if kinds <= _CLEAN or kinds <= _TEXT:
        try:
            return _dense(column, str in kinds)
        except (pa.ArrowInvalid, OverflowError):  # an integer that no float holds exactly
            pass
    return np.array([_number(i, v, refuse, percent) for i, v in enumerate(column)], np.float64)


def reduced(
    column: Sequence[Any], take: str, refuse: Callable[[int, Any], None], percent: bool
) -> Floats:
    """One number for each list of the column: the `max`, `min`, `sum` or `mean` of its elements."""
    reduce, values = REDUCTIONS[take], np.full(len(column), np.nan)
    for i, elements in enumerate(column):
        if not isinstance(elements, list):
            elements = [elements]
        found = [_number(i, v, refuse, percent) for v in elements if v is not None]
        known = [v for v in found if v == v]
        if known:
            values[i] = reduce(known)
    return values


def _dense(column: Sequence[Any], texts: bool) -> Floats:
    """A column at once; ArrowInvalid when a value of it has to be looked at."""
    array = pa.array(column, pa.string() if texts else pa.float64()).cast(pa.float64())
    values: Floats = array.fill_null(np.nan).to_numpy(zero_copy_only=False)
    if np.isfinite(values).sum() + array.null_count < len(column):
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
        return _finite(i, float(plain(value)), value, refuse)  # Decimal and its kin
    except (TypeError, ValueError):
        refuse(i, value)
        return np.nan


def plain(value: Any) -> Any:
    """A decimal of MongoDB's as one of Python's; anything else as it is."""
    return value.to_decimal() if hasattr(value, "to_decimal") else value


def _finite(i: int, number: float, value: Any, refuse: Callable[[int, Any], None]) -> float:
    if number - number != 0:  # NaN or infinity
        refuse(i, value)
        return np.nan
    return number
