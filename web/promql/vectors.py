"""Vectors of series on a common grid of times: labels, operators between them, aggregations.

Values are [n, T], NaN where a series has no sample: there Prometheus has no element.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from web.promql.errors import PromqlError, Unsupported

__all__ = [
    "AGGREGATIONS", "Floats", "Labels", "Matching", "Vector", "aggregated", "aligned", "labels_of",
    "without_name",
]  # fmt: skip

Floats = NDArray[np.float64]
Labels = tuple[tuple[str, str], ...]  # sorted by name; a label without a value is left out
NAME = "__name__"


@dataclass(frozen=True, slots=True)
class Vector:
    """Series with their labels, and their values [n, T]."""

    labels: tuple[Labels, ...]
    values: Floats

    def map(self, function: Callable[[Floats], Any]) -> "Vector":
        """Return the vector with a function of its values; the name of the metric is dropped."""
        with np.errstate(all="ignore"):
            values = np.asarray(function(self.values), np.float64)
        return Vector(self.labels, values).nameless()

    def nameless(self) -> "Vector":
        """Return the vector without the name of the metric. Raises PromqlError for doubles."""
        return self.relabelled(without_name(each) for each in self.labels)

    def relabelled(self, labels: Iterable[Labels]) -> "Vector":
        """Return the vector with other labels; series that become equal must not overlap."""
        return merged(tuple(labels), self.values)

    def present(self) -> "Vector":
        """Return the series that have a sample."""
        kept = np.flatnonzero(~np.isnan(self.values).all(axis=1))
        return Vector(tuple(self.labels[i] for i in kept), self.values[kept])


def labels_of(labels: Mapping[str, str]) -> Labels:
    """Return labels in their order, those without a value left out."""
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def without_name(labels: Labels) -> Labels:
    """Return labels without the name of the metric."""
    return tuple(each for each in labels if each[0] != NAME)


def merged(labels: Sequence[Labels], values: Floats) -> Vector:
    """Return one series for each set of labels. Raises PromqlError where two have a value."""
    places: dict[Labels, int] = {}
    rows = [places.setdefault(each, len(places)) for each in labels]
    if len(places) == len(labels):
        return Vector(tuple(labels), values)
    result = np.full((len(places), values.shape[1]), np.nan)
    for row, series in zip(rows, values, strict=True):
        known = ~np.isnan(series)
        if (known & ~np.isnan(result[row])).any():
            raise PromqlError("vector cannot contain metrics with the same labelset")
        result[row][known] = series[known]
    return Vector(tuple(places), result)


@dataclass(frozen=True, slots=True)
class Matching:
    """Which labels two sides are matched on, which side may have many, and what is carried over."""

    on: tuple[str, ...] | None = None
    ignoring: tuple[str, ...] = ()
    many: str | None = None  # left or right
    include: tuple[str, ...] = ()
    keeps_name: bool = False  # of what a comparison filters

    def key(self, labels: Labels) -> Labels:
        """Return the labels by which a series is matched."""
        if self.on is not None:
            return tuple(each for each in labels if each[0] in self.on)
        return tuple(each for each in labels if each[0] not in (*self.ignoring, NAME))


def aligned(left: Vector, right: Vector, matching: Matching) -> tuple[Vector, Floats, Floats]:
    """Return the result's labels (as a vector of NaN) and both sides' values, row by row.

    Raises PromqlError where several series of a side that may have one only match.
    """
    if matching.many == "right":
        result, theirs, ours = aligned(right, left, replace(matching, many="left"))
        return result, ours, theirs
    groups: dict[Labels, int] = {}
    for i, each in enumerate(right.labels):
        key = matching.key(each)
        if key in groups:
            raise PromqlError(
                "found duplicate series for the match group on the "
                f"{'right' if matching.many is None else 'one'} side of the operation: "
                "many-to-many matching not allowed"
            )
        groups[key] = i
    pairs = [(i, groups.get(matching.key(each))) for i, each in enumerate(left.labels)]
    known = [(i, j) for i, j in pairs if j is not None]
    if matching.many is None and len({j for _, j in known}) < len(known):
        raise PromqlError("multiple matches for labels: many-to-one matching must be explicit")
    labels = tuple(_joined(left.labels[i], right.labels[j], matching) for i, j in known)
    rows, others = [i for i, _ in known], [j for _, j in known]
    a, b = left.values[rows], right.values[others]
    return Vector(labels, np.full(a.shape, np.nan)), a, b


def _joined(one: Labels, other: Labels, matching: Matching) -> Labels:
    """The labels of a result."""
    if matching.many is None:
        named = tuple(each for each in one if each[0] == NAME)
        is_named = matching.keeps_name and matching.on is None
        return (*named, *matching.key(one)) if is_named else matching.key(one)
    kept = dict(one if matching.keeps_name else without_name(one))
    for name in matching.include:
        kept[name] = dict(other).get(name, "")
    return labels_of(kept)


def _sum(values: Floats) -> Floats:
    return np.asarray(np.where(_any(values), np.nansum(values, axis=0), np.nan))


def _any(values: Floats) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(values).all(axis=0))


def _count(values: Floats) -> Floats:
    counts = (~np.isnan(values)).sum(axis=0).astype(np.float64)
    return np.asarray(np.where(counts > 0, counts, np.nan))


AGGREGATIONS: Mapping[str, Callable[[Floats], Floats]] = {
    "sum": _sum,
    "avg": lambda values: np.asarray(np.nanmean(values, axis=0)),
    "min": lambda values: np.asarray(np.nanmin(values, axis=0)),
    "max": lambda values: np.asarray(np.nanmax(values, axis=0)),
    "count": _count,
    "group": lambda values: np.asarray(np.where(_any(values), 1.0, np.nan)),
    "stddev": lambda values: np.asarray(np.nanstd(values, axis=0)),
    "stdvar": lambda values: np.asarray(np.nanvar(values, axis=0)),
}


def aggregated(
    vector: Vector, operator: str, by: tuple[str, ...] | None, without: tuple[str, ...],
    parameter: float | None,
) -> Vector:  # fmt: skip
    """Return the aggregation of a vector. Raises Unsupported for one that is not offered."""
    groups: dict[Labels, list[int]] = {}
    for i, each in enumerate(vector.labels):
        groups.setdefault(_group(each, by, without), []).append(i)
    if operator in ("topk", "bottomk"):
        return _ranked(vector, list(groups.values()), parameter, operator == "topk")
    reduce = _reduction(operator, parameter)
    rows = []
    with np.errstate(all="ignore"):
        for members in groups.values():
            values = vector.values[members]
            known = _any(values)
            row = np.full(values.shape[1], np.nan)
            row[known] = reduce(values[:, known])
            rows.append(row)
    shape = (len(rows), vector.values.shape[1])
    return Vector(tuple(groups), np.asarray(rows, np.float64).reshape(shape))


def _group(labels: Labels, by: tuple[str, ...] | None, without: tuple[str, ...]) -> Labels:
    if by is not None:
        return tuple(each for each in labels if each[0] in by)
    if without:
        return tuple(each for each in without_name(labels) if each[0] not in without)
    return ()


def _reduction(operator: str, parameter: float | None) -> Callable[[Floats], Floats]:
    if operator == "quantile":
        return lambda values: quantiles(values, 0.0 if parameter is None else parameter)
    if operator not in AGGREGATIONS:
        raise Unsupported(f"the aggregation {operator} is not offered")
    return AGGREGATIONS[operator]


def quantiles(values: Floats, q: float) -> Floats:
    """Return the quantile of each column: infinite outside 0 to 1, as Prometheus has it."""
    if not 0 <= q <= 1:
        bound = np.nan if np.isnan(q) else np.copysign(np.inf, q - 0.5)
        return np.full(values.shape[1], bound)
    return np.asarray(np.nanquantile(values, q, axis=0))


def _ranked(
    vector: Vector, groups: Sequence[list[int]], parameter: float | None, largest: bool
) -> Vector:
    k = 0 if parameter is None or np.isnan(parameter) else int(parameter)
    result = np.full(vector.values.shape, np.nan)
    for members in groups if k > 0 else ():
        values = vector.values[members]
        order = np.argsort(np.where(np.isnan(values), np.inf, -values if largest else values),
                           axis=0, kind="stable")[:k]  # fmt: skip
        chosen = np.zeros(values.shape, bool)
        np.put_along_axis(chosen, order, True, axis=0)
        result[members] = np.where(chosen, values, np.nan)
    return Vector(vector.labels, result).present()
