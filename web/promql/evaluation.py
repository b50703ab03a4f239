"""Evaluation of an expression at each time of a grid.

Each kind of node gives a scalar [T], a vector (series × T) or a text; ranges exist inside of
functions only. Parts of PromQL that are not offered are refused by their name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import promql_parser as promql

from storage.model.promql_text import size_problem
from web.promql.errors import BadData, Unsupported
from web.promql.functions import FUNCTIONS, REFUSED
from web.promql.matching import Selector, selector_of
from web.promql.operators import binary, negated
from web.promql.over_time import OVER_TIME, Window, predicted, quantile_over_time
from web.promql.samples import Grid, LakeSamples, Series
from web.promql.vectors import Floats, Labels, Vector, aggregated

__all__ = ["Value", "evaluated", "parsed", "raw_samples"]

MAX_DEPTH = 60
Value = Floats | Vector | str


def parsed(text: str) -> Any:
    """Return the syntax tree of an expression. Raises BadData."""
    if (problem := size_problem(text)) is not None:
        raise BadData(f"invalid parameter 'query': {problem}")
    try:
        return promql.parse(text)
    except (ValueError, OverflowError) as error:
        raise BadData(f"invalid parameter 'query': {error}") from None


def evaluated(node: Any, samples: LakeSamples, grid: Grid) -> Value:
    """Return the value of an expression at each time of the grid. Raises PromqlError."""
    return _Evaluator(samples, grid).value(node)


def raw_samples(
    node: Any, samples: LakeSamples, time: float
) -> list[tuple[Labels, Floats, Floats]]:
    """Return labels, times and values of a range selector by itself, at one time."""
    evaluator = _Evaluator(samples, Grid(np.array([time])))
    selector = selector_of(node)
    (end,) = evaluator.times_of(selector)
    window = selector.window or 0.0
    found = samples.series(selector, end - window, end, 0.0)
    inside = [(each, (each.ts > end - window) & (each.ts <= end)) for each in found]
    return [(each.labels, each.ts[kept], each.values[kept]) for each, kept in inside if kept.any()]


@dataclass(slots=True)
class _Evaluator:
    samples: LakeSamples
    grid: Grid
    depth: int = 0

    def value(self, node: Any) -> Value:
        """Return what a node gives."""
        kind = type(node).__name__
        if kind not in _NODES:
            raise Unsupported(f"{_WORDS.get(kind, kind)} are not offered")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BadData(f"the query nests more than {MAX_DEPTH} operations")
        result = _NODES[kind](self, node)
        self.depth -= 1
        return result

    def number(self, node: Any) -> Floats:
        """Return what a node gives as a scalar [T]."""
        value = self.value(node)
        if not isinstance(value, np.ndarray):
            raise BadData("expected type scalar, got a vector or a string")
        return value

    def vector(self, node: Any) -> Vector:
        """Return what a node gives as a vector."""
        value = self.value(node)
        if not isinstance(value, Vector):
            raise BadData("expected type instant vector, got a scalar or a string")
        return value

    def text(self, node: Any) -> str:
        """Return what a node gives as a text."""
        value = self.value(node)
        if not isinstance(value, str):
            raise BadData("expected type string")
        return value

    def times_of(self, selector: Selector) -> Floats:
        """Return the times at which a selector looks."""
        times = self.grid.times
        if selector.at is not None:
            at = {"start": times[0], "end": times[-1]}.get(str(selector.at), selector.at)
            times = np.full(len(times), float(at))
        return np.asarray(times - selector.offset)

    def instant(self, node: Any) -> Vector:
        """A vector selector: the last sample of each series within the look-back."""
        selector = selector_of(node)
        times = self.times_of(selector)
        found = self.samples.series(selector, times.min(), times.max(), self.grid.step)
        rows = [self._latest(each, times) for each in found]
        shape = (len(rows), len(times))
        values = np.asarray(rows, np.float64).reshape(shape)
        return Vector(tuple(each.labels for each in found), values).present()

    def _latest(self, series: Series, times: Floats) -> Floats:
        places = np.searchsorted(series.ts, times, side="right") - 1
        ts = np.append(series.ts, -np.inf)[places]
        known = (places >= 0) & (times - ts < series.lookback)
        if series.ahead is not None:
            known &= (times > self.samples.now.timestamp()) == series.ahead
        return np.asarray(np.where(known, np.append(series.values, np.nan)[places], np.nan))

    def over_range(
        self, node: Any, function: Callable[[Window], Floats], keeps_name: bool = False
    ) -> Vector:
        """A function over the range of a selector."""
        if type(node).__name__ != "MatrixSelector":
            raise Unsupported(
                "subqueries are not offered" if type(node).__name__ == "SubqueryExpr"
                else "expected a range, such as [1h], after a metric"
            )  # fmt: skip
        selector = selector_of(node)
        times, seconds = self.times_of(selector), selector.window or 0.0
        found = self.samples.series(selector, times.min() - seconds, times.max(), self.grid.step)
        with np.errstate(all="ignore"):
            rows = [function(Window(each.ts, each.values, times, seconds)) for each in found]
        values = np.asarray(rows, np.float64).reshape(len(rows), len(times))
        vector = Vector(tuple(each.labels for each in found), values).present()
        return vector if keeps_name else vector.nameless()

    def call(self, node: Any) -> Value:
        """A function."""
        name, arguments = node.func.name, list(node.args or [])
        if name in REFUSED:
            raise Unsupported(f"{name} is not offered: {REFUSED[name]}")
        if name in OVER_TIME:
            return self.over_range(arguments[0], OVER_TIME[name], name == "last_over_time")
        if name == "quantile_over_time":
            q = float(self.number(arguments[0])[0])
            return self.over_range(arguments[1], lambda window: quantile_over_time(window, q))
        if name == "predict_linear":
            ahead = self.number(arguments[1])
            return self.over_range(arguments[0], lambda window: predicted(window, ahead))
        if name not in FUNCTIONS:
            raise Unsupported(f"the function {name} is not offered")
        value: Value = FUNCTIONS[name](self, arguments)
        return value

    def aggregate(self, node: Any) -> Vector:
        """An aggregation."""
        operator, modifier = str(node.op), node.modifier
        labels = tuple(modifier.labels) if modifier is not None else ()
        is_by = modifier is not None and str(modifier.type).endswith("By")
        by = labels if is_by else None
        without = () if is_by or modifier is None else labels
        vector = self.vector(node.expr)
        if modifier is not None and not is_by and not labels:
            without = ("__name__",)  # without (): one group for each series
        parameter = None if node.param is None else self._parameter(operator, node.param)
        return aggregated(vector, operator, by, without, parameter)

    def _parameter(self, operator: str, node: Any) -> float:
        if operator not in ("topk", "bottomk", "quantile"):
            raise Unsupported(f"the aggregation {operator} is not offered")
        return float(self.number(node)[0])


_WORDS = {"SubqueryExpr": "subqueries", "MatrixSelector": "ranges outside of a function"}

_NODES: Mapping[str, Callable[[_Evaluator, Any], Value]] = {
    "AggregateExpr": _Evaluator.aggregate,
    "BinaryExpr": lambda self, node: binary(node, self.value(node.lhs), self.value(node.rhs)),
    "Call": _Evaluator.call,
    "NumberLiteral": lambda self, node: np.full(len(self.grid.times), float(node.val)),
    "ParenExpr": lambda self, node: self.value(node.expr),
    "StringLiteral": lambda _, node: str(node.val),
    "UnaryExpr": lambda self, node: negated(self.value(node.expr)),
    "VectorSelector": _Evaluator.instant,
}
