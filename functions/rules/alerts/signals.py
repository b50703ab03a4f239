"""Signals: what a rule sees of each metric of each server, from its values and its odds.

Arrays have the series (a server and a metric) as their first axis. Values are signed so that more
is worse; NaN is missing. A missing value is neither at a level nor under it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from functions.rules.alerts.rule import Rule
from functions.rules.defaults import CLOSE_GAP, CLOSE_ODDS
from functions.rules.odds.breaches import at_level, run_starts
from storage.model.grid import LEAD_MINUTES, STEP, STEP_MINUTES

__all__ = ["Levels", "OddsHistory", "Signal", "ValueHistory", "levels_of", "signals"]

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

# Odds that are older say nothing of now; rows further apart are no run.
FRESH_MINUTES = 20.0
GAP_MINUTES = 20.0
# A run at the level that ended so many steps ago is still seen as one that is on.
_RECENT_STEPS = 3


@dataclass(frozen=True, slots=True)
class Levels:
    """Warn and critical level [n] of each series, signed; NaN where there is none."""

    warn: Floats
    critical: Floats


@dataclass(frozen=True, slots=True)
class ValueHistory:
    """5-minute means and maxima [n, T] of n series, signed; the last step ends at `stop`."""

    keys: Sequence[tuple[str, str]]  # server, metric
    signs: Floats  # [n]: −1 where low is bad
    levels: Levels
    means: Floats
    maxima: Floats
    stop: datetime


@dataclass(frozen=True, slots=True)
class OddsHistory:
    """Odds of m series as issued at K times: [m, K, leads], NaN where there was no row.

    `checked` and `trend` are [m, K]; `newest` has the whole newest row of each series.
    """

    keys: Sequence[tuple[str, str]]
    times: Sequence[datetime]
    p: Floats
    any_p: Floats
    checked: Mask
    trend: Mask
    newest: Sequence[Mapping[str, Any]]
    cadence_minutes: float
    now: datetime


@dataclass(frozen=True, slots=True)
class Signal:
    """What a rule sees of one series now. Periods are in minutes; None is unknown.

    `below_minutes` is how long the odds have been under half of the opening ones, `under_minutes`
    how long the values have been under the level, missing steps not counted.
    """

    server: str
    metric: str
    threshold: float
    value: float | None = None
    warns: bool = False
    pages: bool = False
    breached_at: datetime | None = None
    under_minutes: float = 0.0
    below_minutes: float = 0.0
    below_since: datetime | None = None
    p: float | None = None
    lead_minutes: int | None = None
    issued_at: datetime | None = None
    odds_row: Mapping[str, Any] | None = None


def levels_of(rule: Rule, history: ValueHistory) -> Floats:
    """Return the level [n] of a rule, signed; NaN where a metric has none."""
    if not isinstance(rule.level, str):
        return np.asarray(rule.level * history.signs, np.float64)
    levels: Floats = getattr(history.levels, rule.level)
    return levels


def signals(
    rule: Rule,
    covered: Mask,
    history: ValueHistory,
    odds: OddsHistory,
    always: frozenset[tuple[str, str]] = frozenset(),
) -> list[Signal]:
    """Return the signals of a rule for the series that it covers [n] and that need attention.

    These warn or are breached; those in `always`, which have an open episode, are returned too.
    """
    level = levels_of(rule, history)
    breached = _breach_starts(rule, history, level)
    wanted = np.array([key in always for key in history.keys], bool)
    seen = _OddsSeen(rule, odds)
    rows = {key: i for i, key in enumerate(odds.keys)}
    under = _Under(rule, history, level)
    result = []
    attention = covered & ((breached >= 0) | wanted | _warned(history.keys, rows, seen.warns))
    for i in np.flatnonzero(attention & ~np.isnan(level)).tolist():
        signal = under.signal(i, int(breached[i]))
        row = rows.get(history.keys[i])
        result.append(signal if row is None else seen.added(signal, row))
    return result


def _warned(
    keys: Sequence[tuple[str, str]], rows: Mapping[tuple[str, str], int], warns: Mask
) -> Mask:
    return np.array([(row := rows.get(key)) is not None and bool(warns[row]) for key in keys], bool)


def _breach_starts(rule: Rule, history: ValueHistory, level: Floats) -> npt.NDArray[np.intp]:
    """Return the first step [n] of the run at the level that is on, or has just ended; −1: none."""
    values = history.maxima if rule.samples == "any" else history.means
    mask = at_level(values, level)
    starts = run_starts(mask, rule.breach_steps)
    if not starts.shape[1]:
        return np.full(len(mask), -1)
    recent = starts[:, -(_RECENT_STEPS + 1) :]
    on = recent.any(axis=1)
    last = starts.shape[1] - 1 - np.argmax(starts[:, ::-1], axis=1)  # the newest start of a run
    off = ~mask
    before = np.where(np.arange(mask.shape[1]) < last[:, None], off, False)
    first = np.where(before.any(axis=1), mask.shape[1] - np.argmax(before[:, ::-1], axis=1), 0)
    return np.where(on, first, -1)


class _Under:
    """How long the values of each series have been under a level, with a gap to it."""

    def __init__(self, rule: Rule, history: ValueHistory, level: Floats) -> None:
        gap = CLOSE_GAP * np.abs(history.levels.critical - history.levels.warn)
        limit = level - np.where(np.isnan(gap), 0.0, gap)
        values = history.maxima if rule.samples == "any" else history.means
        self._history, self._level = history, level
        known = ~np.isnan(values)
        over = known & (values >= limit[:, None])
        length = values.shape[1]
        steps = np.arange(length)
        last_over = np.where(over.any(axis=1), length - 1 - np.argmax(over[:, ::-1], axis=1), -1)
        under = known & (steps > last_over[:, None])
        self._counts = under.sum(axis=1)
        fresh = known[:, -_RECENT_STEPS:].any(axis=1)
        self._counts[~fresh] = 0
        self._known = known

    def signal(self, i: int, breach_start: int) -> Signal:
        """Return the signal of one series, without odds."""
        history, sign = self._history, self._history.signs[i]
        server, metric = history.keys[i]
        last = np.flatnonzero(self._known[i])
        count = int(self._counts[i])
        return Signal(
            server, metric, float(sign * self._level[i]),
            value=float(sign * history.means[i, last[-1]]) if len(last) else None,
            breached_at=None if breach_start < 0 else self._time(breach_start),
            under_minutes=float(count * STEP_MINUTES),
        )  # fmt: skip

    def _time(self, step: int) -> datetime:
        length = int(self._history.means.shape[1])
        return self._history.stop - (length - step) * STEP


class _OddsSeen:
    """What a rule sees of the odds of each series."""

    def __init__(self, rule: Rule, odds: OddsHistory) -> None:
        self._rule, self._odds = rule, odds
        p = odds.any_p if rule.samples == "any" else odds.p
        self._p = p
        count, length = p.shape[:2]
        self._minutes = np.array(
            [(ts - odds.times[0]) / timedelta(minutes=1) for ts in odds.times], np.float64
        ).reshape(length)
        known = np.asarray(~np.isnan(p).all(axis=2))
        self._last = length - 1 - np.argmax(known[:, ::-1], axis=1) if length else np.zeros(0, int)
        last = self._minutes[self._last] if length else np.zeros(count)
        now = (odds.now - odds.times[0]) / timedelta(minutes=1) if length else 0.0
        self._fresh = known.any(axis=1) & (now - last <= FRESH_MINUTES)
        self._limits = np.where(
            odds.checked[:, :, None], _limits(rule.odds_at(True)), _limits(rule.odds_at(False))
        )
        high = np.asarray((p >= self._limits).any(axis=2))
        paging = np.asarray(odds.checked & (p >= _limits(rule.page_odds)).any(axis=2))
        self.warns = self._lasts(high, last) & self._fresh
        self.pages = self._lasts(paging, last, trend=False) & self._fresh
        low = np.asarray(known & ~(p >= CLOSE_ODDS * self._limits).any(axis=2))
        self._since = self._run_start(known, low)

    def _lasts(self, condition: Mask, last: Floats, trend: bool | None = None) -> Mask:
        """True where the condition was met for so many of the last minutes."""
        needed = [self._rule.needed_minutes(trend=kind) for kind in (True, False)]
        is_trend = np.zeros(len(condition), bool)
        if trend is None and condition.shape[1]:
            is_trend = self._odds.trend[np.arange(len(condition)), self._last]
        least, within = (np.where(is_trend, *pair) for pair in zip(*needed, strict=True))
        inside = (self._minutes > (last - within)[:, None]) & (self._minutes <= last[:, None])
        total = (condition & inside).sum(axis=1) * self._odds.cadence_minutes
        enough: Mask = total >= least - 1e-6
        return enough

    def _run_start(self, known: Mask, low: Mask) -> npt.NDArray[np.intp]:
        """Return where [m] the run of low odds that lasts begins; −1 where the newest are not."""
        starts = np.full(len(known), -1)
        for row in np.flatnonzero(self._fresh & low[np.arange(len(low)), self._last]):
            at = np.flatnonzero(known[row])
            broken = ~low[row, at]
            broken[1:] |= np.diff(self._minutes[at]) > GAP_MINUTES
            last_break = int(np.flatnonzero(broken)[-1]) if broken.any() else -1
            starts[row] = at[last_break if last_break >= 0 and low[row, at[last_break]] else
                             last_break + 1]  # fmt: skip
        return starts

    def added(self, signal: Signal, row: int) -> Signal:
        """Return the signal with what is known of its odds."""
        odds, last = self._odds, int(self._last[row])
        start = int(self._since[row])
        lead, p = self._strongest(row, last)
        return replace(
            signal,
            warns=bool(self.warns[row]), pages=bool(self.pages[row]), p=p, lead_minutes=lead,
            issued_at=odds.times[last], odds_row=odds.newest[row],
            below_since=None if start < 0 else odds.times[start],
            below_minutes=0.0 if start < 0 else self._minutes[last] - self._minutes[start],
        )  # fmt: skip

    def _strongest(self, row: int, at: int) -> tuple[int | None, float | None]:
        """Return the lead whose odds are nearest to opening, or over it, and these odds."""
        share = self._p[row, at] / self._limits[row, at]
        if np.isnan(share).all() or not np.nanmax(share) > 0:
            return None, None
        best = int(np.nanargmax(share))
        return LEAD_MINUTES[best], float(self._p[row, at, best])


def _limits(odds: Mapping[int, float]) -> Floats:
    """Return the odds by lead as an array [leads]; infinite where a rule has none."""
    return np.array([odds.get(lead, np.inf) for lead in LEAD_MINUTES])
