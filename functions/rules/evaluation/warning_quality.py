"""Warning quality: how warnings did against the breaches that came, as one scorecard.

Definitions, the same for every kind of warning:

- A breach is *warned of* by a warning of its server and metric that was open when it began. Its
  lead is the time from the earliest such warning's opening, at most 8 hours: a warning that is
  always open proves nothing beyond that.
- A warning is *right* if a breach began while it was open, else *false*. One that opened in a
  breach or within two hours after it counts neither way, and nor does a breach that only such a
  warning was open for.
- A warning that people acted on and that no breach followed is *averted*, not false.
- Warnings of the last 8 hours cannot be judged yet.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functions.rules.defaults import BREACH_QUIET_STEPS
from storage.model.grid import HORIZON_STEPS, STEP_MINUTES

__all__ = ["LEADS", "JudgedBreaches", "JudgedWarnings", "WarningQuality", "warning_quality"]

LEADS = (30, 60, 120, 240)  # minutes
CAP = float(HORIZON_STEPS * STEP_MINUTES)
AFTER = float(BREACH_QUIET_STEPS * STEP_MINUTES)
DAY = 1440.0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class JudgedWarnings:
    """Warnings as columns [n]: server and metric by number, times in minutes of one clock.

    `closed` is infinite while a warning is open; `averted` says that somebody acted on it.
    """

    servers: Ints
    metrics: Ints
    opened: Floats
    closed: Floats
    averted: Flags


@dataclass(frozen=True, slots=True)
class JudgedBreaches:
    """Breaches as columns [m], like warnings; `possible` is the lead that there was, NaN unknown.

    It is the time from the start of what caused the breach, known in simulations only.
    """

    servers: Ints
    metrics: Ints
    started: Floats
    ended: Floats
    possible: Floats


@dataclass(frozen=True, slots=True)
class WarningQuality:
    """The scorecard. Shares are NaN where there is nothing to divide by; leads are minutes."""

    host_days: float
    breaches: int
    missed: int  # without a warning that was open when they began
    recurring: int  # breaches left out: only a warning from the breach before was open
    recall: dict[int, float]  # by lead of LEADS
    possible_recall: dict[int, float]  # the same, of a warning at the start of the cause
    warnings: int  # judged: right, false and averted
    right: int
    false: int
    averted: int
    withdrawn: int  # false ones that closed again by themselves
    neither: int  # opened in a breach or just after
    unjudged: int  # of the last 8 hours
    precision: float
    false_per_host_day: float
    lead_median: float
    lead_p10: float
    possible_median: float
    possible_share: float  # median of lead / possible lead, over the breaches warned of
    time_warned: float  # share of the servers' time with a warning open

    def as_json(self) -> dict[str, Any]:
        """Return the numbers with None for NaN, as JSON wants it."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def warning_quality(
    warnings: JudgedWarnings, breaches: JudgedBreaches, span: tuple[float, float], servers: int
) -> WarningQuality:
    """Judge `warnings` of `servers` servers against `breaches` within `span`, in minutes."""
    start, stop = span
    within = (breaches.started >= start) & (breaches.started < stop)
    counted = _rows(breaches, within)
    pairs = _pairs(warnings, breaches)
    neither = _opened_in_or_after(warnings, breaches, pairs)
    judged = ~neither & (warnings.opened >= start) & (warnings.opened < stop - CAP)
    right = _right(warnings, breaches, pairs)
    averted = judged & ~right & warnings.averted
    false = judged & ~right & ~warnings.averted
    lead, recurring = _leads(warnings, breaches, pairs, neither)
    lead, possible = lead[within & ~recurring], breaches.possible[within & ~recurring]
    possible = np.minimum(possible, CAP)
    days = servers * max(stop - CAP - start, 0.0) / DAY
    right_count, false_count = int((judged & right).sum()), int(false.sum())
    with np.errstate(invalid="ignore"):
        reached = lead / np.where(possible > 0, possible, np.nan)
        return WarningQuality(
            host_days=days,
            breaches=len(lead),
            missed=int(np.isnan(lead).sum()),
            recurring=len(counted.started) - len(lead),
            recall={n: _share(int((lead >= n).sum()), len(lead)) for n in LEADS},
            possible_recall=_possible_recall(possible),
            warnings=int(judged.sum()),
            right=right_count,
            false=false_count,
            averted=int(averted.sum()),
            withdrawn=int((false & (warnings.closed <= stop)).sum()),
            neither=int((neither & (warnings.opened >= start)).sum()),
            unjudged=int((~neither & (warnings.opened >= stop - CAP)).sum()),
            precision=_share(right_count, right_count + false_count),
            false_per_host_day=_share(false_count, days),
            lead_median=_quantile(lead, 0.5),
            lead_p10=_quantile(lead, 0.1),
            possible_median=_quantile(possible, 0.5),
            possible_share=_quantile(reached, 0.5),
            time_warned=_time_warned(warnings, span, servers),
        )


def _rows(breaches: JudgedBreaches, mask: Flags) -> JudgedBreaches:
    return JudgedBreaches(*(getattr(breaches, name)[mask] for name in JudgedBreaches.__slots__))


def _pairs(warnings: JudgedWarnings, breaches: JudgedBreaches) -> tuple[Ints, Ints]:
    """Each warning with each breach of its series: rows of warnings, rows of breaches."""
    ours = warnings.servers * 4096 + warnings.metrics
    theirs = breaches.servers * 4096 + breaches.metrics
    order = np.argsort(theirs, kind="stable")
    first = np.searchsorted(theirs[order], ours, "left")
    count = np.searchsorted(theirs[order], ours, "right") - first
    rows = np.repeat(np.arange(len(ours)), count)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    return rows, order[np.repeat(first, count) + nth]


def _opened_in_or_after(
    warnings: JudgedWarnings, breaches: JudgedBreaches, pairs: tuple[Ints, Ints]
) -> Flags:
    w, b = pairs
    opened = warnings.opened[w]
    inside = (opened > breaches.started[b]) & (opened <= breaches.ended[b] + AFTER)
    return _any(w[inside], len(warnings.opened))


def _open_at_start(
    warnings: JudgedWarnings, breaches: JudgedBreaches, pairs: tuple[Ints, Ints]
) -> Flags:
    w, b = pairs
    started = breaches.started[b]
    return (warnings.opened[w] <= started) & (warnings.closed[w] >= started)


def _right(warnings: JudgedWarnings, breaches: JudgedBreaches, pairs: tuple[Ints, Ints]) -> Flags:
    return _any(pairs[0][_open_at_start(warnings, breaches, pairs)], len(warnings.opened))


def _leads(
    warnings: JudgedWarnings, breaches: JudgedBreaches, pairs: tuple[Ints, Ints], neither: Flags
) -> tuple[Floats, Flags]:
    """Return the lead of each breach (NaN: no warning), and which ones are recurring."""
    w, b = pairs
    open_then = _open_at_start(warnings, breaches, pairs)
    counts = open_then & ~neither[w]
    lead = np.full(len(breaches.started), -np.inf)
    np.maximum.at(lead, b[counts], breaches.started[b[counts]] - warnings.opened[w[counts]])
    lead = np.where(np.isinf(lead), np.nan, np.minimum(lead, CAP))
    recurring = _any(b[open_then & neither[w]], len(lead)) & np.isnan(lead)
    return lead, recurring


def _any(rows: Ints, count: int) -> Flags:
    flags = np.zeros(count, np.bool_)
    flags[rows] = True
    return flags


def _possible_recall(possible: Floats) -> dict[int, float]:
    known = possible[~np.isnan(possible)]
    return {n: _share(int((known >= n).sum()), len(known)) for n in LEADS}


def _time_warned(warnings: JudgedWarnings, span: tuple[float, float], servers: int) -> float:
    """Share of the servers' time in which at least one warning is open."""
    start, stop = span
    opened, closed = np.clip(warnings.opened, start, stop), np.clip(warnings.closed, start, stop)
    order = np.lexsort((opened, warnings.servers))
    total, server, until = 0.0, -1, start
    for row in order:
        if warnings.servers[row] != server:
            server, until = int(warnings.servers[row]), start
        total += max(closed[row] - max(opened[row], until), 0.0)
        until = max(until, closed[row])
    return _share(float(total), servers * (stop - start))


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _quantile(values: Floats, q: float) -> float:
    known = values[~np.isnan(values)]
    return float(np.quantile(known, q)) if len(known) else math.nan


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
