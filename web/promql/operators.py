"""Operators between scalars and vectors."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from web.promql.errors import BadData, PromqlError, Unsupported
from web.promql.vectors import Floats, Matching, Vector, aligned

__all__ = ["binary", "negated"]

Value = Floats | Vector | str
ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "%": np.fmod,
    "^": np.power, "atan2": np.arctan2,
}  # fmt: skip
COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": np.equal, "!=": np.not_equal, ">": np.greater, "<": np.less, ">=": np.greater_equal,
    "<=": np.less_equal,
}  # fmt: skip
_ALL = {**ARITHMETIC, **COMPARISONS}
SETS = ("and", "or", "unless")


def negated(value: Value) -> Value:
    """Return minus a value."""
    if isinstance(value, str):
        raise BadData("unary expression only allowed on scalars and instant vectors")
    return value.map(np.negative) if isinstance(value, Vector) else np.negative(value)


def binary(node: Any, left: Value, right: Value) -> Value:
    """Return an operator's result. Raises PromqlError."""
    operator = str(node.op)
    if isinstance(left, str) or isinstance(right, str):
        raise BadData("binary expression must contain only scalar and instant vector types")
    modifier = node.modifier
    keep_bool = modifier is not None and modifier.return_bool
    if operator in SETS:
        if not isinstance(left, Vector) or not isinstance(right, Vector):
            raise BadData(f"set operator {operator!r} not allowed in binary scalar expression")
        return _sets(operator, left, right, _matching(modifier))
    if operator not in ARITHMETIC and operator not in COMPARISONS:
        raise Unsupported(f"the operator {operator} is not offered")
    if isinstance(left, Vector) and isinstance(right, Vector):
        return _between(operator, left, right, _matching(modifier), keep_bool)
    if isinstance(left, Vector) or isinstance(right, Vector):
        return _with_scalar(operator, left, right, keep_bool)
    if operator in COMPARISONS and not keep_bool:
        raise BadData("comparisons between scalars must use BOOL modifier")
    with np.errstate(all="ignore"):
        return np.asarray(_ALL[operator](left, right), np.float64)


def _matching(modifier: Any) -> Matching:
    """What on, ignoring, group_left and group_right say."""
    if modifier is None:
        return Matching()
    if any(value is not None for value in _fills(modifier)):
        raise Unsupported("fill values of missing series are not offered")
    card = str(modifier.card).rpartition(".")[2]
    many = {"ManyToOne": "left", "OneToMany": "right"}.get(card)
    include = tuple(modifier.group_labels or ()) if many else ()
    labels = modifier.matching
    if labels is None:
        return Matching(many=many, include=include)
    names = tuple(labels.labels)
    if str(labels.type).endswith("Include"):
        return Matching(on=names, many=many, include=include)
    return Matching(ignoring=names, many=many, include=include)


def _fills(modifier: Any) -> tuple[Any, Any]:
    fills = getattr(modifier, "fill_values", None)
    return getattr(fills, "lhs", None), getattr(fills, "rhs", None)


def _sets(operator: str, left: Vector, right: Vector, matching: Matching) -> Vector:
    """and, or, unless: of whole series, at each time."""
    present = _present_by_key(right, matching)
    if operator == "or":
        ours = _present_by_key(left, matching)
        added = [
            np.where(ours.get(matching.key(each), False), np.nan, values)
            for each, values in zip(right.labels, right.values, strict=True)
        ]
        joined = np.concatenate(
            [left.values, np.asarray(added, np.float64).reshape(right.values.shape)]
        )
        return Vector((*left.labels, *right.labels), joined).present()
    kept = operator == "and"
    rows = [
        np.where(present.get(matching.key(each), False) == kept, values, np.nan)
        for each, values in zip(left.labels, left.values, strict=True)
    ]
    return Vector(left.labels, np.asarray(rows, np.float64).reshape(left.values.shape)).present()


def _present_by_key(vector: Vector, matching: Matching) -> dict[Any, Any]:
    present: dict[Any, Any] = {}
    for each, values in zip(vector.labels, vector.values, strict=True):
        key = matching.key(each)
        present[key] = present.get(key, False) | ~np.isnan(values)
    return present


def _between(
    operator: str, left: Vector, right: Vector, matching: Matching, keep_bool: bool
) -> Vector:
    is_filter = operator in COMPARISONS and not keep_bool
    labels, a, b = aligned(left, right, replace(matching, keeps_name=is_filter))
    if is_filter:
        # Of group_right the left values stay as well.
        return Vector(labels.labels, _filtered(operator, a, b, a)).present()
    known = ~np.isnan(a) & ~np.isnan(b)
    with np.errstate(all="ignore"):
        values = np.asarray(_ALL[operator](a, b), np.float64)
    return Vector(labels.labels, np.where(known, values, np.nan)).present()


def _with_scalar(operator: str, left: Value, right: Value, keep_bool: bool) -> Vector:
    vector = left if isinstance(left, Vector) else right
    if not isinstance(vector, Vector):
        raise PromqlError("expected a vector")
    a = left.values if isinstance(left, Vector) else left
    b = right.values if isinstance(right, Vector) else right
    if operator in COMPARISONS and not keep_bool:
        return Vector(vector.labels, _filtered(operator, a, b, vector.values)).present()
    known = ~np.isnan(vector.values)
    return vector.map(
        lambda _: np.where(known, np.asarray(_ALL[operator](a, b), np.float64), np.nan)
    )


def _filtered(operator: str, a: Any, b: Any, kept: Floats) -> Floats:
    """The values of `kept` where a comparison holds."""
    with np.errstate(all="ignore"):
        return np.asarray(np.where(COMPARISONS[operator](a, b) & ~np.isnan(kept), kept, np.nan))
