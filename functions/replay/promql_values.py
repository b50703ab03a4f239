"""PromQL over a history: what an expression gives for each server at each 5-minute step.

An instant vector is [n, T], NaN where it has no sample: so a comparison leaves NaN where it is
false, as Prometheus drops the series there. What a history cannot answer raises NotReplayable.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import promql_parser as promql
import pyarrow as pa
import pyarrow.compute as pc

from functions.replay.promql_operators import (
    ARITHMETIC,
    COMPARISONS,
    NOW,
    OVER_TIME,
    SETS,
    Floats,
    NotReplayable,
    Value,
    Vector,
    calculated,
    combined,
    compared,
    mean_over,
)
from functions.rules.evaluation.straight_lines import predict_linear
from storage.model.grid import STEP, STEP_MINUTES
from storage.model.promql_text import size_problem

__all__ = ["FleetValues", "NotReplayable", "Result", "evaluate"]

DEEPEST = 50  # nested operations of an expression
HOST_LABELS = frozenset({"instance", "server", "host", "hostname", "node", "nodename"})
# Labels that tell machines, devices or states of a server apart, and what we keep of them.
_TOTALS = {
    "node_memory_MemTotal_bytes": "memory",
    "node_memory_SwapTotal_bytes": "swap",
    "node_filesystem_size_bytes": "disk",
}
_FREE = {
    "node_memory_MemAvailable_bytes": ("memory", "mem_used_pct"),
    "node_memory_SwapFree_bytes": ("swap", "swap_used_pct"),
    "node_filesystem_avail_bytes": ("disk", "disk_usage_pct"),
    "node_filesystem_free_bytes": ("disk", "disk_usage_pct"),
}
_CPU = {
    "idle": "cpu_idle_pct", "iowait": "cpu_iowait_pct", "user": "cpu_user_pct",
    "system": "cpu_sys_pct",
}  # fmt: skip
_MODES = frozenset({
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice",
})  # fmt: skip
# How what is single in a vector becomes one of a server, and what is single then.
_AGGREGATED: Mapping[str, tuple[str, str | None]] = {
    "cpu": ("avg", None), "device": ("sum", None), "cpu and mode": ("avg", "mode"),
    "mode": ("sum", None),
}  # fmt: skip
_TRAFFIC = {
    "node_network_receive_bytes_total": "net_in_mb_s",
    "node_network_transmit_bytes_total": "net_out_mb_s",
}
_DISK_NOTE = "of volumes the fullest is kept: the rule is replayed on it"


@dataclass(frozen=True, slots=True)
class FleetValues:
    """What is known: of each metric the 5-minute means [n, T] of `servers`, NaN for gaps."""

    servers: Sequence[str]
    metrics: Mapping[str, Floats]
    cores: Sequence[int | None] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Servers and steps."""
        return next(iter(self.metrics.values())).shape


@dataclass(frozen=True, slots=True)
class Result:
    """The values [n, T] of an expression, the metrics that it watches, and notes in words."""

    values: Floats
    watches: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Evaluator:
    fleet: FleetValues
    watches: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    depth: int = 0

    def value(self, node: Any) -> Value:
        """Return what a node of the syntax tree gives."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotReplayable(f"it nests more than {DEEPEST} operations")
        evaluate_node = _NODES.get(type(node).__name__)
        if evaluate_node is None:
            raise NotReplayable(f"{type(node).__name__} is not replayed")
        result = evaluate_node(self, node)
        self.depth -= 1
        return result

    def vector(self, node: Any) -> Vector:
        """Return what a node gives as a vector."""
        value = self.value(node)
        if not isinstance(value, Vector):
            raise NotReplayable("a number stands where a metric is expected")
        return value

    def scalar(self, node: Any) -> float:
        """Return what a node gives as a number."""
        value = self.value(node)
        if isinstance(value, Vector):
            raise NotReplayable("a metric stands where a number is expected")
        return value

    def metric(self, name: str) -> Floats:
        """Return the values of one of our metrics."""
        if name not in self.fleet.metrics:
            raise NotReplayable(f"there are no values of {name} in this history")
        if name not in self.watches:
            self.watches.append(name)
        return self.fleet.metrics[name]

    def note(self, text: str) -> None:
        """Say once what differs from the original."""
        if text not in self.notes:
            self.notes.append(text)

    def selector(self, node: Any) -> Vector:
        """A vector selector: a metric of ours, or one that node_exporter has."""
        if node.at is not None:
            raise NotReplayable("the modifier @ is not replayed")
        vector = self._named(node.name or "", _labels(node))
        vector = replace(vector, values=self._of_servers(vector.values, node))
        return _shifted(vector, node.offset) if node.offset is not None else vector

    def _named(self, name: str, labels: Mapping[str, str]) -> Vector:
        if name in self.fleet.metrics:
            return Vector(self.metric(name))
        if name == "node_load1":
            return Vector(self.metric("load_average"))
        if name in _TOTALS:
            return Vector(np.ones(self.fleet.shape), of=_TOTALS[name])
        if name in _FREE:
            total, metric = _FREE[name]
            if total == "disk":
                self.note(_DISK_NOTE)
            return Vector(1 - self.metric(metric) / 100, of=total)
        if name == "node_tcp_connection_states" and labels.get("state") == "close_wait":
            return Vector(self.metric("back_close_wait"))
        if name == "node_uname_info":  # multiplied with for its labels
            return Vector(np.ones(self.fleet.shape))
        if name == "node_filesystem_readonly":
            self.note("volumes that are read-only are not counted")
            return Vector(np.where(np.isnan(self.metric("disk_usage_pct")), np.nan, 0.0))
        if name == "node_boot_time_seconds":
            return Vector(-86_400 * self.metric("uptime_days"), of=NOW)  # before time(), which is 0
        raise NotReplayable(f"{name or 'a selector without a name'} is not one of our metrics")

    def _of_servers(self, values: Floats, node: Any) -> Floats:
        """Drop the servers that the label of the host excludes; other labels are not kept."""
        for matcher in node.matchers.matchers:
            if matcher.name in HOST_LABELS:
                keep = np.array([_matches(matcher, server) for server in self.fleet.servers])
                values = np.where(keep[:, None], values, np.nan)
            elif matcher.name not in ("mode", "state", "fstype", "mountpoint", "device"):
                self.note(f"the label {matcher.name} is not kept: all servers are replayed")
        return values

    def counter_rate(self, node: Any) -> Vector:
        """rate, irate and increase of a counter: our metrics are such rates already."""
        selector, window = _range(node.args)
        name = getattr(selector, "name", None) or ""
        if name == "node_cpu_seconds_total":
            vector = self._cpu(selector)
        elif name in _TRAFFIC:
            vector = Vector(self.metric(_TRAFFIC[name]) * 1e6, per="device")
        else:
            raise NotReplayable(f"the counter {name} is not kept")
        steps = 1 if node.func.name == "irate" else window
        values = self._of_servers(mean_over(vector.values, steps), selector)
        if node.func.name == "increase":
            values = values * window * STEP.total_seconds()
        return replace(vector, values=values)

    def _cpu(self, selector: Any) -> Vector:
        """The share of a CPU's time in the modes that a selector names."""
        matchers = [m for m in selector.matchers.matchers if m.name == "mode"]
        chosen = {mode for mode in _MODES if all(_agrees(m, (mode,)) for m in matchers)}
        if chosen <= _CPU.keys() and chosen:
            share = np.sum([self.metric(_CPU[mode]) for mode in sorted(chosen)], axis=0)
        elif _CPU.keys() > (others := _MODES - chosen) and others:
            share = 100 - np.sum([self.metric(_CPU[mode]) for mode in sorted(others)], axis=0)
        else:
            raise NotReplayable(
                "of node_cpu_seconds_total only the modes idle, iowait, user and system are kept"
            )
        return Vector(np.asarray(share) / 100, per="cpu" if len(chosen) == 1 else "cpu and mode")

    def core_count(self) -> Vector:
        """The cores of each server; it has no sample where they are not known."""
        cores = np.array([n or np.nan for n in self.fleet.cores or [None] * self.fleet.shape[0]])
        return Vector(np.broadcast_to(cores.astype(np.float64)[:, None], self.fleet.shape))

    def over_time(self, node: Any) -> Vector:
        """avg_over_time, max_over_time, min_over_time of a range."""
        selector, window = _range(node.args)
        vector = self.vector(selector)
        return replace(vector, values=OVER_TIME[node.func.name](vector.values, window))

    def line(self, node: Any) -> Vector:
        """predict_linear(range, seconds)."""
        selector, window = _range(node.args)
        ahead = self.scalar(node.args[1]) / STEP.total_seconds()
        vector = self.vector(selector)
        return replace(vector, values=predict_linear(vector.values, window, ahead))


def evaluate(expression: str, fleet: FleetValues) -> Result:
    """Return what an expression gives over a history. Raises NotReplayable."""
    try:
        if (problem := size_problem(expression)) is not None:
            raise NotReplayable(problem)
        tree = promql.parse(expression)
    except ValueError as error:
        raise NotReplayable(f"not valid PromQL: {error}") from error
    evaluator = _Evaluator(fleet)
    vector = evaluator.vector(tree)
    if vector.per is not None:
        raise NotReplayable(f"it watches each {vector.per} alone, of which only the whole is kept")
    if not evaluator.watches:
        raise NotReplayable("it watches no metric of a server")
    return Result(vector.values, tuple(evaluator.watches), tuple(evaluator.notes))


def _call(evaluator: _Evaluator, node: Any) -> Value:
    name = node.func.name
    if name in ("rate", "irate", "increase"):
        return evaluator.counter_rate(node)
    if name in OVER_TIME:
        return evaluator.over_time(node)
    if name == "predict_linear":
        return evaluator.line(node)
    if name == "abs":
        vector = evaluator.vector(node.args[0])
        return replace(vector, values=np.abs(vector.values))
    if name == "time":
        return Vector(np.zeros(evaluator.fleet.shape), of=NOW)
    if name == "absent":
        raise NotReplayable("absent() watches missing data: the rule for silence does that")
    raise NotReplayable(f"the function {name} is not replayed")


def _aggregate(evaluator: _Evaluator, node: Any) -> Value:
    """avg, sum, max and min by host: each server has one value already."""
    labels = set(node.modifier.labels) if node.modifier is not None else set()
    without = node.modifier is not None and (node.modifier.type == promql.AggModifierType.Without)
    if bool(labels & HOST_LABELS) == without:
        raise NotReplayable("it watches the fleet as a whole, not a server")
    operation = str(node.op)
    if operation == "count" and getattr(node.expr, "name", None) == "node_cpu_seconds_total":
        return evaluator.core_count()
    if operation not in ("avg", "sum", "max", "min"):
        raise NotReplayable(f"the aggregation {operation} is not replayed")
    vector = evaluator.vector(node.expr)
    needed, rest = _AGGREGATED.get(vector.per or "", (operation, None))
    keeps_mode = ("mode" in labels) != without
    if operation != needed or ("mode" in (vector.per or "") and keeps_mode != (rest == "mode")):
        raise NotReplayable(f"{operation} over each {vector.per} is not kept (expected {needed})")
    return replace(vector, per=rest)


def _binary(evaluator: _Evaluator, node: Any) -> Value:
    operator = str(node.op)
    left, right = evaluator.value(node.lhs), evaluator.value(node.rhs)
    if operator in SETS:
        return combined(operator, left, right)
    if operator in COMPARISONS:
        keep_bool = node.modifier is not None and node.modifier.return_bool
        return compared(operator, left, right, keep_bool)
    if operator in ARITHMETIC:
        return calculated(operator, left, right)
    raise NotReplayable(f"the operator {operator} is not replayed")


def _unary(evaluator: _Evaluator, node: Any) -> Value:
    value = evaluator.value(node.expr)
    return replace(value, values=-value.values) if isinstance(value, Vector) else -value


def _labels(node: Any) -> dict[str, str]:
    """The labels that a selector asks for by equality."""
    matchers = getattr(getattr(node, "matchers", None), "matchers", ())
    return {m.name: m.value for m in matchers if m.op == promql.MatchOp.Equal}


def _matches(matcher: Any, server: str) -> bool:
    """Compare a host's label with a server; the port of an instance is not part of its name."""
    host = matcher.value.rpartition(":")[0] or matcher.value
    if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
        return bool((server in (host, matcher.value)) == (matcher.op == promql.MatchOp.Equal))
    return _agrees(matcher, (server, f"{server}:9100"))


def _agrees(matcher: Any, values: Sequence[str]) -> bool:
    """Return True if a label that has one of `values` fulfils a matcher."""
    if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
        return bool((matcher.value in values) == (matcher.op == promql.MatchOp.Equal))
    try:
        hits = pc.match_substring_regex(pa.array(values), f"^(?:{matcher.value})$")
    except pa.ArrowInvalid as error:
        raise NotReplayable(f"{matcher.value!r} is not a valid pattern ({error})") from error
    return bool(pc.any(hits).as_py() == (matcher.op == promql.MatchOp.Re))


def _range(arguments: Sequence[Any]) -> tuple[Any, int]:
    """The selector of a range and its steps, at least one."""
    node = arguments[0]
    inner = getattr(node, "vector_selector", None) or getattr(node, "expr", None)
    if inner is None or not hasattr(node, "range"):
        raise NotReplayable("a range such as [1h] is expected")
    return inner, max(1, round(node.range / STEP))


def _shifted(vector: Vector, offset: timedelta) -> Vector:
    steps = round(offset / timedelta(minutes=STEP_MINUTES))
    if steps < 0:
        raise NotReplayable("a negative offset reads the future")
    values = np.full_like(vector.values, np.nan)
    values[:, steps:] = vector.values[:, : vector.values.shape[1] - steps]
    return replace(vector, values=values)


_NODES: Mapping[str, Callable[[_Evaluator, Any], Value]] = {
    "NumberLiteral": lambda _, node: float(node.val),
    "ParenExpr": lambda evaluator, node: evaluator.value(node.expr),
    "UnaryExpr": _unary,
    "BinaryExpr": _binary,
    "AggregateExpr": _aggregate,
    "Call": _call,
    "VectorSelector": lambda evaluator, node: evaluator.selector(node),
}
