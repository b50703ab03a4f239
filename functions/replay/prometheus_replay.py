"""Prometheus's rules on a history: when each would have fired, and with what odds it fires tonight.

The odds are those of the forecast's seven quantiles: the rule is evaluated on the history
continued along each of them, from the best case to the worst, and the odds are the weight of those
on which it fires. They are no finer than that, and the least that they can be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functions.replay.outcomes import LEVELLED, level_breaches, levels_of, warnings_of_states
from functions.replay.prometheus_rules import PrometheusRule
from functions.replay.promql_operators import NotReplayable
from functions.replay.promql_values import FleetValues, evaluate
from functions.rules.evaluation.straight_lines import intervals, latched, met_for
from functions.rules.evaluation.warning_quality import (
    JudgedBreaches,
    WarningQuality,
    warning_quality,
)
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, QUANTILES, STEP, STEP_MINUTES
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.query.history import History
from storage.query.windows import IssuedForecasts

__all__ = ["RuleReplay", "Tonight", "replay_rules"]

RECORDING = "a recording rule alerts nobody"
# What each quantile stands for: the middle of its neighbours to either side.
_EDGES = np.array([0.0, *(np.diff(QUANTILES) / 2 + QUANTILES[:-1]), 1.0])
WEIGHTS = np.diff(_EDGES)
OLDEST_STEPS = 12  # of a forecast: tonight begins now, not an hour ago
_WEEK_STEPS = 7 * 24 * 60 // STEP_MINUTES

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Tonight:
    """The odds that a rule fires for a server within 8 hours, and when on the likeliest path."""

    server: str
    odds: float
    at: datetime | None


@dataclass(frozen=True, slots=True)
class RuleReplay:
    """What became of one rule; `reason` says why it was not replayed, then the rest is empty."""

    name: str
    expression: str
    reason: str | None = None
    notes: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()
    fired: int = 0
    fired_a_week: float = 0.0
    servers: int = 0
    firing_now: tuple[str, ...] = ()
    quality: WarningQuality | None = None
    tonight: tuple[Tonight, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        names = ("name", "expression", "reason", "notes", "watches", "fired", "fired_a_week",
                 "servers", "firing_now")  # fmt: skip
        quality = None if self.quality is None else self.quality.as_json()
        tonight = None if self.tonight is None else [
            {"server": t.server, "odds": t.odds, "at": t.at and t.at.isoformat()}
            for t in self.tonight
        ]  # fmt: skip
        return {name: getattr(self, name) for name in names} | {
            "quality": quality, "tonight": tonight,
        }  # fmt: skip


def replay_rules(
    rules: Sequence[PrometheusRule],
    history: History,
    cores: Sequence[int | None],
    issued: IssuedForecasts | None = None,
) -> list[RuleReplay]:
    """Return what became of each rule, in their order: none is left out."""
    return [_replayed(rule, history, cores, issued) for rule in rules]


def _replayed(
    rule: PrometheusRule,
    history: History,
    cores: Sequence[int | None],
    issued: IssuedForecasts | None,
) -> RuleReplay:
    if rule.alert is None:
        return RuleReplay(rule.name, rule.expr, RECORDING)
    try:
        result = evaluate(rule.expr, _fleet(history.servers, history.values, cores))
    except NotReplayable as error:
        return RuleReplay(rule.name, rule.expr, str(error))
    firing = _firing(rule, result.values)
    rows = intervals(firing)[0]
    now = np.flatnonzero(firing[:, -1:].any(axis=1))
    return RuleReplay(
        rule.name, rule.expr, None, result.notes, result.watches,
        fired=len(rows),
        fired_a_week=len(rows) * _WEEK_STEPS / history.steps,
        servers=len(set(rows.tolist())),
        firing_now=tuple(history.servers[i] for i in now),
        quality=_judged(result.watches, firing, history, cores),
        tonight=None if issued is None else _tonight(
            rule, result.watches, history, cores, issued
        ),
    )  # fmt: skip


def _fleet(
    servers: Sequence[str], values: NDArray[np.float32], cores: Sequence[int | None]
) -> FleetValues:
    known = [i for i in range(len(METRIC_NAMES)) if not np.isnan(values[:, :, i]).all()]
    return FleetValues(
        servers, {METRIC_NAMES[i]: values[:, :, i].astype(np.float64) for i in known}, cores
    )


def _firing(rule: PrometheusRule, values: NDArray[np.float64]) -> Flags:
    """When it fires: once its expression held for `for`, until `keep_firing_for` is over."""
    present = ~np.isnan(values)
    steps = 1 + round(rule.keep_minutes / STEP_MINUTES)
    return latched(met_for(present, rule.for_minutes), ~present, steps)


def _judged(
    watches: Sequence[str], firing: Flags, history: History, cores: Sequence[int | None]
) -> WarningQuality | None:
    """Judge the firings against breaches of the first metric that has a level; None: none has."""
    levelled = [m for m in watches if METRIC_NAMES.index(m) in LEVELLED]
    if not levelled:
        return None
    metric = METRIC_NAMES.index(levelled[0])
    events = level_breaches(history, levels_of(history, cores)[1])
    ours = events.metrics == metric
    chosen = JudgedBreaches(*(getattr(events, n)[ours] for n in JudgedBreaches.__slots__))
    span = (0.0, float(history.steps * STEP_MINUTES))
    return warning_quality(warnings_of_states(firing, (metric,)), chosen, span, len(firing))


def _tonight(
    rule: PrometheusRule,
    watches: Sequence[str],
    history: History,
    cores: Sequence[int | None],
    issued: IssuedForecasts,
) -> tuple[Tonight, ...]:
    """The odds of each server that has a fresh forecast, the highest first."""
    places = {name: i for i, name in enumerate(history.servers)}
    ages = [(history.span[1] - at) // STEP for at in issued.issued_at]
    known = [
        i for i, server in enumerate(issued.servers)
        if server in places and 0 <= ages[i] <= OLDEST_STEPS
    ]  # fmt: skip
    if not known:
        return ()
    rows = [places[issued.servers[i]] for i in known]
    part = history.only(rows).last(2 * CONTEXT_STEPS)
    counts = [cores[i] for i in rows]
    ahead = _from_now(issued.quantiles[known], [ages[i] for i in known])
    fired = np.stack([
        _fires_along(rule, part, counts, _path(ahead, k, watches)) for k in range(len(QUANTILES))
    ])  # fmt: skip
    odds = np.einsum("k,kn->n", WEIGHTS, fired.any(axis=2).astype(np.float64))
    end = history.span[1]
    result = [
        Tonight(server, round(float(p), 4), _first(fired[:, i], end))
        for i, (server, p) in enumerate(zip(part.servers, odds, strict=True))
    ]
    return tuple(sorted(result, key=lambda each: (-each.odds, each.server)))


def _from_now(quantiles: NDArray[np.float32], ages: Sequence[int]) -> NDArray[np.float32]:
    """Forecasts [n, 96, 14, 7] without the steps that have passed; unknown at the end instead."""
    ahead = np.full_like(quantiles, np.nan)
    for i, age in enumerate(ages):
        ahead[i, : HORIZON_STEPS - age] = quantiles[i, age:]
    return ahead


def _path(quantiles: NDArray[np.float32], k: int, watches: Sequence[str]) -> NDArray[np.float32]:
    """The forecast [n, 96, 14] along one quantile, from the best case (0) to the worst (6)."""
    path = quantiles[..., k].copy()
    for name in watches:
        place = METRIC_NAMES.index(name)
        if METRICS[place].bad_when == "low":
            path[:, :, place] = quantiles[:, :, place, len(QUANTILES) - 1 - k]
    return path


def _fires_along(
    rule: PrometheusRule,
    part: History,
    cores: Sequence[int | None],
    path: NDArray[np.float32],
) -> Flags:
    """Whether the rule fires [n, 96] where the history goes on along a path."""
    fleet = _fleet(part.servers, np.concatenate([part.values, path], axis=1), cores)
    return _firing(rule, evaluate(rule.expr, fleet).values)[:, -HORIZON_STEPS:]


def _first(fired: Flags, end: datetime) -> datetime | None:
    """When it first fires on the median's path, else on the mildest one on which it does."""
    middle = len(QUANTILES) // 2
    paths = [middle, *sorted(range(len(QUANTILES)), key=lambda k: abs(k - middle))]
    chosen = next((fired[k] for k in paths if fired[k].any()), None)
    if chosen is None:
        return None
    return end.astimezone(UTC) + (int(chosen.argmax()) + 1) * STEP
