"""Numbers in columns: a whole column at once where it is clean, else value by value."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from functions.normalize.columns import Column, as_list

__all__ = ["Floats", "floats", "plain", "reduced", "remedy_for"]

Floats = npt.NDArray[np.float64]

_CLEAN = frozenset({float, int, type(None)})
_TEXT = frozenset({str, type(None)})
_SHARE = re.compile(r"(?P<number>[^%]*[^%\s])\s*+%(?:\s.*+)?", re.DOTALL)
# What float() takes beyond this, such as '1_0' or Arabic digits, is not how sensors write numbers.
# No repetition goes back (`*+`): the time is linear in the length of the text.
_NUMBER = re.compile(r"\s*+[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?\s*+")
_COMMA_NUMBER = re.compile(r"\s*+[+-]?(?:[0-9]++,?[0-9]*+|,[0-9]++)(?:[eE][+-]?[0-9]++)?\s*+")
# Thousands in groups, all divided by the same sign: 1,234,567.8 and 1.234.567,8.
_GROUPED = re.compile(r"\s*[+-]?[0-9]{1,3}([,'\u00a0\u202f ])[0-9]{3}(?:\1[0-9]{3})*(\.[0-9]*)?\s*")
_COMMA_GROUPED = re.compile(
    r"\s*[+-]?[0-9]{1,3}([.'\u00a0\u202f ])[0-9]{3}(?:\1[0-9]{3})*(,[0-9]*)?\s*"
)
_DIVIDERS = re.compile("['\u00a0\u202f ]")
_EITHER = re.compile(r"\s*[+-]?[0-9]{1,3}(?:[.,][0-9]{3})+\s*")
REDUCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "max": max, "min": min, "sum": sum, "mean": lambda values: sum(values) / len(values),
}  # fmt: skip


def floats(
    column: Column, refuse: Callable[[int, Any], None], percent: bool, decimal: str = ""
) -> Floats:
    """The numbers of a column [n], NaN where there is none; `refuse` takes what is not a number.

    Text that holds a number counts as one, and `67% /mount` where `percent` are expected. `decimal`
    is the sign before the fraction in text; with it thousands may be grouped. Without it text is
    read with a point, ungrouped; where a column has decimal commas too, '1.234' is refused.
    """
    try:
        if isinstance(column, pa.Array):
            if _is_plain(column.type):
                return _dense(column, decimal)
        else:
            kinds = set(map(type, column))
            if kinds <= _CLEAN or kinds <= _TEXT:
                text = str in kinds
                return _dense(pa.array(column, pa.string() if text else pa.float64()), decimal)
    except (pa.ArrowInvalid, OverflowError):  # such as an integer that no float holds exactly
        pass
    values = as_list(column)
    reader = _Reader(refuse, percent, decimal or _unstated(values))
    return np.array([reader.number(i, v) for i, v in enumerate(values)], np.float64)


def reduced(
    column: Column,
    take: str,
    refuse: Callable[[int, Any], None],
    percent: bool,
    decimal: str = "",
) -> Floats:
    """One number for each list of a column: the `max`, `min`, `sum` or `mean` of its elements."""
    reduce, values = REDUCTIONS[take], np.full(len(column), np.nan)
    reader = _Reader(refuse, percent, decimal)
    for i, elements in enumerate(as_list(column)):
        if not isinstance(elements, list):
            elements = [elements]
        numbers = [reader.number(i, v) for v in elements if v is not None]
        known = [v for v in numbers if v == v]
        if known:
            values[i] = reduce(known)
    return values


def remedy_for(value: Any) -> str:
    """What to do about a value that is not a number."""
    text = value if isinstance(value, str) else ""
    if _EITHER.fullmatch(text) and not (text.count(",") and text.count(".")):
        return (
            "it can be thousands or a fraction: write decimal = '.' or decimal = ',' in [mapping]"
        )
    for sign, forms in (
        (",", (_COMMA_NUMBER, _COMMA_GROUPED)), (".", (_NUMBER, _GROUPED))
    ):  # fmt: skip
        if any(form.fullmatch(text) for form in forms):
            return f"write decimal = '{sign}' in [mapping] if that is the sign before the fraction"
    return "send a number, and leave it out or null when it is missing"


def _is_plain(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_floating(kind) or types.is_integer(kind) or types.is_string(kind))


def _dense(array: pa.Array, decimal: str) -> Floats:
    """A whole column; raises ArrowInvalid where a value needs a closer look."""
    if decimal == "," and pa.types.is_string(array.type):
        if pc.any(pc.match_substring(array, ".")).as_py():
            raise pa.ArrowInvalid("a point, which may divide thousands")
        array = pc.replace_substring(array, ",", ".")
    numbers = array.cast(pa.float64())
    values: Floats = numbers.fill_null(np.nan).to_numpy(zero_copy_only=False)
    if np.isfinite(values).sum() + numbers.null_count < len(numbers):
        raise pa.ArrowInvalid("NaN or infinity")
    return values


def _unstated(values: Sequence[Any]) -> str:
    """'?' where some text has a decimal comma, so that no point can be trusted either; else ''."""
    comma = any(
        isinstance(v, str) and "," in v and _has_decimal_comma(v.rstrip("% ")) for v in values
    )
    return "?" if comma else ""


def _has_decimal_comma(text: str) -> bool:
    return bool(
        (_COMMA_NUMBER.fullmatch(text) or _COMMA_GROUPED.fullmatch(text))
        and not _EITHER.fullmatch(text)
    )


class _Reader:
    """Reads values one by one; `decimal` is '?' where points are as doubtful as commas."""

    def __init__(self, refuse: Callable[[int, Any], None], percent: bool, decimal: str) -> None:
        self._refuse, self._percent, self._decimal = refuse, percent, decimal

    def number(self, i: int, value: Any) -> float:
        """The number of a value; NaN for none, and for what is refused."""
        if value is None or (isinstance(value, str) and not value.strip()):
            return np.nan
        try:
            number = self._parsed(value)
        except (TypeError, ValueError, OverflowError):
            number = np.nan
        if number - number != 0:  # NaN or infinity
            self._refuse(i, value)
            return np.nan
        return number

    def _parsed(self, value: Any) -> float:
        if isinstance(value, str):
            share = _SHARE.fullmatch(value) if self._percent else None
            return _from_text(share["number"] if share else value, self._decimal)
        if isinstance(value, bool | list | dict):
            raise TypeError
        return float(plain(value))  # such as Decimal


def _from_text(text: str, decimal: str) -> float:
    """The number that a text holds; raises ValueError."""
    if decimal == ",":
        if _COMMA_GROUPED.fullmatch(text):
            text = _DIVIDERS.sub("", text.strip().replace(".", ""))
        elif not _COMMA_NUMBER.fullmatch(text):
            raise ValueError
        return float(text.replace(",", "."))
    if decimal == "." and _GROUPED.fullmatch(text):
        return float(_DIVIDERS.sub("", text.strip().replace(",", "")))
    if not _NUMBER.fullmatch(text) or (decimal == "?" and _EITHER.fullmatch(text)):
        raise ValueError
    return float(text)


def plain(value: Any) -> Any:
    """A decimal of MongoDB as one of Python; any other value as it is."""
    return value.to_decimal() if hasattr(value, "to_decimal") else value
