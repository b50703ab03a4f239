"""Operators of PromQL on vectors [n, T], NaN where there is no sample, and their units."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import HoursightError

__all__ = [
    "ARITHMETIC", "COMPARISONS", "NOW", "OVER_TIME", "SETS", "NotReplayable", "Value", "Vector",
    "calculated", "combined", "compared", "mean_over",
]  # fmt: skip

NOW = "time()"
_TIME_ALONE = "of time() only time() - node_boot_time_seconds is replayed"
Floats = NDArray[np.float64]


class NotReplayable(HoursightError):
    """The history cannot answer an expression; the message says which part, and why."""


@dataclass(frozen=True, slots=True)
class Vector:
    """Values; `of` names the total of which they are a share, `per` what is summed in them."""

    values: Floats
    of: str | None = None
    per: str | None = None


Value = float | Vector


def combined(operator: str, left: Value, right: Value) -> Vector:
    """Return and, or, unless of two vectors of the same servers. Raises NotReplayable."""
    if not isinstance(left, Vector) or not isinstance(right, Vector):
        raise NotReplayable(f"{operator} stands between a metric and a number")
    return Vector(SETS[operator](left.values, right.values), left.of, left.per)


def calculated(operator: str, left: Value, right: Value) -> Value:
    """Return the sum, difference, product or quotient. Raises NotReplayable."""
    if not isinstance(left, Vector) and not isinstance(right, Vector):
        return float(_apply(operator, np.float64(left), np.float64(right)))
    of = _unit_after(operator, left, right)
    per = next((v.per for v in (left, right) if isinstance(v, Vector) and v.per), None)
    values = _apply(operator, _values(left), _values(right))
    return Vector(values, of, per)


def _unit_after(operator: str, left: Value, right: Value) -> str | None:
    """The total of which the result is a share: bytes themselves are not kept."""
    ours, theirs = _of(left), _of(right)
    if ours == theirs == NOW and operator == "-":
        return None
    if NOW in (ours, theirs):
        raise NotReplayable(_TIME_ALONE)
    if ours == theirs:
        return None if operator == "/" else ours
    scaled = ours is not None and operator in "*/" and not isinstance(right, Vector)
    if scaled or (theirs is not None and operator == "*" and not isinstance(left, Vector)):
        return ours or theirs
    raise NotReplayable("bytes are not kept, only the share of their total that is used")


def compared(operator: str, left: Value, right: Value, keep_bool: bool) -> Value:
    """Return the left values where a comparison holds, or 0 and 1. Raises NotReplayable."""
    if not isinstance(left, Vector) and not isinstance(right, Vector):
        raise NotReplayable("it compares numbers only")
    if NOW in (_of(left), _of(right)):
        raise NotReplayable(_TIME_ALONE)
    if _of(left) != _of(right) and not (_is_zero(left) or _is_zero(right)):
        raise NotReplayable(
            "bytes are not kept, only the share that is used: compare with 0 or with the total"
        )
    values = _values(left) if isinstance(left, Vector) else _values(right)
    holds = COMPARISONS[operator](_values(left), _values(right))
    per = next((v.per for v in (left, right) if isinstance(v, Vector) and v.per), None)
    if per is not None:
        raise NotReplayable(f"it watches each {per} alone, of which only the whole is kept")
    known = ~np.isnan(_values(left) + _values(right))
    if keep_bool:
        return Vector(np.where(known, holds.astype(np.float64), np.nan))
    return Vector(np.where(holds & known, values, np.nan), _of(left) or _of(right))


def _apply(operator: str, left: Any, right: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return ARITHMETIC[operator](left, right)


def _of(value: Value) -> str | None:
    return value.of if isinstance(value, Vector) else None


def _is_zero(value: Value) -> bool:
    return not isinstance(value, Vector) and value == 0


def _values(value: Value) -> Any:
    return value.values if isinstance(value, Vector) else np.float64(value)


def _windows(values: Floats, window: int) -> Floats:
    """The last `window` values at each step: [n, T, window], NaN before the history."""
    padded = np.pad(values, ((0, 0), (window - 1, 0)), constant_values=np.nan)
    return np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)


def mean_over(values: Floats, window: int) -> Floats:
    """Return the mean of the last `window` steps at each step."""
    seen = _windows(values, window)
    known = ~np.isnan(seen)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(known, seen, 0).sum(2) / known.sum(2)
    return mean


def _fold(fold: Any) -> Callable[[Floats, int], Floats]:
    return lambda values, window: np.asarray(fold.reduce(_windows(values, window), axis=2))


OVER_TIME: Mapping[str, Callable[[Floats, int], Floats]] = {
    "avg_over_time": mean_over, "max_over_time": _fold(np.fmax), "min_over_time": _fold(np.fmin),
}  # fmt: skip
ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide,
}  # fmt: skip
COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal, "==": np.equal,
    "!=": np.not_equal,
}  # fmt: skip
SETS: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "and": lambda left, right: np.where(np.isnan(right), np.nan, left),
    "or": lambda left, right: np.where(np.isnan(left), right, left),
    "unless": lambda left, right: np.where(np.isnan(right), left, np.nan),
}
