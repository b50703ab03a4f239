"""Functions of PromQL on scalars and instant vectors, and those that are refused with a reason."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from web.promql.errors import BadData, PromqlError
from web.promql.samples import Grid
from web.promql.vectors import Floats, Vector, labels_of

__all__ = ["FUNCTIONS", "REFUSED", "Arguments"]

_COUNTER = "the metrics here are gauges, not counters; take avg_over_time or deriv"
_HISTOGRAM = "there are no histograms here"
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("rate", "irate", "increase", "resets"), _COUNTER),
    **dict.fromkeys(
        (
            "histogram_quantile", "histogram_avg", "histogram_count", "histogram_sum",
            "histogram_fraction", "histogram_stddev", "histogram_stdvar",
        ),
        _HISTOGRAM,
    ),
    **dict.fromkeys(
        ("holt_winters", "double_exponential_smoothing"), "ask for a time ahead: that is a forecast"
    ),
}  # fmt: skip
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_REFERENCE = re.compile(r"\$(?:\$|(\d+)|\{(\d+)\})")


class Arguments(Protocol):
    """What evaluates the arguments of a function."""

    @property
    def grid(self) -> Grid: ...

    def number(self, node: Any) -> Floats: ...

    def vector(self, node: Any) -> Vector: ...

    def text(self, node: Any) -> str: ...


Function = Callable[[Any, list[Any]], Any]


def _of_values(function: Callable[..., Any]) -> Function:
    """A function of each value, with scalars after it."""

    def apply(evaluate: Arguments, arguments: list[Any]) -> Vector:
        scalars = [evaluate.number(each) for each in arguments[1:]]
        return evaluate.vector(arguments[0]).map(lambda values: function(values, *scalars))

    return apply


def _round(values: Floats, nearest: Floats | float = 1.0) -> Floats:
    return np.asarray(np.floor(values / nearest + 0.5) * nearest)


def _scalar(evaluate: Arguments, arguments: list[Any]) -> Floats:
    vector = evaluate.vector(arguments[0])
    known = ~np.isnan(vector.values)
    total = np.nansum(vector.values, axis=0)
    return np.asarray(np.where(known.sum(axis=0) == 1, total, np.nan))


def _vector(evaluate: Arguments, arguments: list[Any]) -> Vector:
    return Vector(((),), evaluate.number(arguments[0])[None, :])


def _timestamp(evaluate: Arguments, arguments: list[Any]) -> Vector:
    vector = evaluate.vector(arguments[0]).nameless()
    times = np.broadcast_to(evaluate.grid.times, vector.values.shape)
    return Vector(vector.labels, np.where(np.isnan(vector.values), np.nan, times))


def _absent(evaluate: Arguments, arguments: list[Any]) -> Vector:
    vector, node = evaluate.vector(arguments[0]), arguments[0]
    missing = np.isnan(vector.values).all(axis=0)
    labels: dict[str, str] = {}
    for matcher in getattr(getattr(node, "matchers", None), "matchers", []):
        equal = str(matcher.op).endswith(".Equal") and matcher.name != "__name__"
        if equal and matcher.name not in labels:
            labels[matcher.name] = matcher.value
    row = np.where(missing, 1.0, np.nan)[None, :]
    return Vector((labels_of(labels),), row).present()


def _sorted(evaluate: Arguments, arguments: list[Any], sign: int = 1) -> Vector:
    vector = evaluate.vector(arguments[0])
    order = np.argsort(sign * vector.values[:, -1], kind="stable")
    return Vector(tuple(vector.labels[i] for i in order), vector.values[order])


def _label_replace(evaluate: Arguments, arguments: list[Any]) -> Vector:
    target, replacement, source, pattern = (evaluate.text(each) for each in arguments[1:])
    _check_label(target)
    vector = evaluate.vector(arguments[0])
    known = [dict(each) for each in vector.labels]
    texts = [labels.get(source, "") for labels in known]
    is_match, replaced = _replaced(texts, f"^(?s:{pattern})$", _rewrite(replacement))
    return vector.relabelled(
        labels_of({**labels, target: text}) if matches else each
        for each, labels, matches, text in zip(
            vector.labels, known, is_match, replaced, strict=True
        )
    )


def _replaced(texts: list[str], pattern: str, rewrite: str) -> tuple[list[bool], list[str]]:
    """Return which texts match, and the texts with the match replaced (RE2)."""
    column = pa.array(texts, pa.string())
    try:
        matches = pc.match_substring_regex(column, pattern).to_pylist()
        return matches, pc.replace_substring_regex(column, pattern, rewrite).to_pylist()
    except pa.ArrowInvalid as error:
        raise BadData(f"{pattern!r} or its replacement is not valid: {error}") from None


def _rewrite(replacement: str) -> str:
    """Return $1 and ${1} as RE2 has them."""
    escaped = replacement.replace("\\", r"\\")
    return _REFERENCE.sub(lambda m: "$" if m[0] == "$$" else f"\\{m[1] or m[2]}", escaped)


def _label_join(evaluate: Arguments, arguments: list[Any]) -> Vector:
    target, separator, *sources = (evaluate.text(each) for each in arguments[1:])
    _check_label(target)
    vector = evaluate.vector(arguments[0])
    return vector.relabelled(
        labels_of({**dict(each), target: separator.join(dict(each).get(s, "") for s in sources)})
        for each in vector.labels
    )


def _check_label(name: str) -> None:
    if not _LABEL.fullmatch(name):
        raise PromqlError(f"invalid label name {name!r}")


def _of_time(part: Callable[[datetime], float]) -> Function:
    """A part of the calendar of each value in seconds; without a vector, of the time itself."""
    convert = np.vectorize(
        lambda s: part(datetime.fromtimestamp(s, UTC)) if abs(s) < 1e11 else math.nan,
        otypes=[np.float64],
    )

    def apply(evaluate: Arguments, arguments: list[Any]) -> Vector:
        if not arguments:
            return Vector(((),), convert(evaluate.grid.times)[None, :])
        return evaluate.vector(arguments[0]).map(convert)

    return apply


def _days_in_month(at: datetime) -> float:
    following = at.replace(day=28).toordinal() + 4
    return float((datetime.fromordinal(following).replace(day=1).toordinal()) - at.replace(
        day=1
    ).toordinal())  # fmt: skip


FUNCTIONS: Mapping[str, Function] = {
    "abs": _of_values(np.abs),
    "absent": _absent,
    "ceil": _of_values(np.ceil),
    "clamp": _of_values(lambda v, low, high: np.where(low <= high, np.clip(v, low, high), np.nan)),
    "clamp_max": _of_values(np.minimum),
    "clamp_min": _of_values(np.maximum),
    "day_of_month": _of_time(lambda at: at.day),
    "day_of_week": _of_time(lambda at: at.isoweekday() % 7),
    "day_of_year": _of_time(lambda at: at.timetuple().tm_yday),
    "days_in_month": _of_time(_days_in_month),
    "exp": _of_values(np.exp),
    "floor": _of_values(np.floor),
    "hour": _of_time(lambda at: at.hour),
    "label_join": _label_join,
    "label_replace": _label_replace,
    "ln": _of_values(np.log),
    "log10": _of_values(np.log10),
    "log2": _of_values(np.log2),
    "minute": _of_time(lambda at: at.minute),
    "month": _of_time(lambda at: at.month),
    "pi": lambda evaluate, _: np.full(len(evaluate.grid.times), math.pi),
    "round": _of_values(_round),
    "scalar": _scalar,
    "sgn": _of_values(np.sign),
    "sort": _sorted,
    "sort_desc": lambda evaluate, arguments: _sorted(evaluate, arguments, -1),
    "sqrt": _of_values(np.sqrt),
    "time": lambda evaluate, _: evaluate.grid.times,
    "timestamp": _timestamp,
    "vector": _vector,
    "year": _of_time(lambda at: at.year),
}
