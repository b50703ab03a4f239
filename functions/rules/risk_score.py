"""Risk score: how bad each server is now and is going to be, as pure functions of arrays.

Two scores from 0 to 100 that are never mixed. *Now* follows each metric's warn and critical level,
its trend, and CPU, memory and I/O wait being high together. *Ahead* follows from the odds that a
metric passes its critical level, and how soon.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np

from functions.rules.fleet_state import (
    CPU,
    EARLIEST,
    IOWAIT,
    LATEST,
    LIKELY,
    MEMORY,
    NAMES,
    SILENT_AFTER_S,
    SILENT_POINTS,
    Bands,
    FleetState,
    Floats,
    Future,
    KnownOdds,
    Present,
    ServerState,
    bands_of,
    judged,
)
from functions.rules.odds.exceedance import clipped, logit, ramp, sigmoid, step_odds
from functions.rules.odds.recovery import recovery_shift
from functions.rules.reasons import Reason, reasons_of
from storage.model.grid import HORIZON_STEPS, LEAD_MINUTES, STEP, STEP_MINUTES
from storage.model.severity import Severity, severity_of

__all__ = ["FleetState", "Reason", "Risk", "assess"]

WARN_POINTS = 50.0
CRITICAL_POINTS = 80.0
# What the worst possible reading of one metric is worth. A machine that is busy, or queues, still
# works; one without memory or disk does not.
WORST_POINTS = {
    "cpu_iowait_pct": 88.0,
    "cpu_idle_pct": 85.0,
    "mem_used_pct": 100.0,
    "swap_used_pct": 92.0,
    "disk_usage_pct": 100.0,
    "back_close_wait": 92.0,
    "front_close_wait": 92.0,
    "load_average": 86.0,
}
_WORST = np.array([WORST_POINTS[name] for name in NAMES])

# A burst of seconds is normal in these: the milder of now and the last 5 minutes counts.
_BURSTY = np.isin(NAMES, ("cpu_iowait_pct", "cpu_idle_pct", "load_average"))

TREND_POINTS = 10.0
TREND_HOURS = 0.5
TREND_STEPS = 4  # fewer show no trend
JOINT_POINTS = 15.0

# Odds of passing a critical level against points, when it is for the next half hour …
ODDS_POINTS = (
    (0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0),
    (0.0, 15.0, 40.0, 58.0, 75.0, 85.0, 93.0, 98.0),
)
# … and how much of them is left when there is more time to act.
URGENCY = {30: 1.0, 60: 0.96, 120: 0.90, 240: 0.82, 480: 0.74}
_URGENCY = np.array([URGENCY[lead] for lead in LEAD_MINUTES])
FORECAST_GOOD_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Risk:
    """The risk of one server. `now_score` is None without data, `ahead_score` without a forecast.

    `p_breach` goes with LEAD_MINUTES; the breach times belong to `breach_metric` and are None where
    their odds (1, 5 and 9 in 10) are not reached within the horizon.
    """

    now_score: float | None
    ahead_score: float | None
    score: float
    severity: Severity
    p_breach: tuple[float | None, ...]
    breach_metric: str | None
    breach_earliest: datetime | None
    breach_likely: datetime | None
    breach_latest: datetime | None
    reasons: tuple[Reason, ...]

    @property
    def respond_within_minutes(self) -> int | None:
        """Return the time to act in minutes; None when no action is needed."""
        return self.severity.respond_within_minutes

    def row(self, server: str, issued_at: datetime) -> dict[str, Any]:
        """Return this risk as a row of the table `risks`."""
        return {
            "server": server,
            "issued_at": issued_at,
            "now_score": self.now_score,
            "ahead_score": self.ahead_score,
            "score": self.score,
            "severity": self.severity.name,
            "respond_within_minutes": self.respond_within_minutes,
            **{f"p_breach_{lead}m": p for lead, p in zip(LEAD_MINUTES, self.p_breach, strict=True)},
            "breach_metric": self.breach_metric,
            "breach_earliest": self.breach_earliest,
            "breach_likely": self.breach_likely,
            "breach_latest": self.breach_latest,
            "reasons": [asdict(reason) for reason in self.reasons],
        }


def assess(fleet: FleetState, now: datetime) -> list[Risk]:
    """Return the risk of each server of `fleet`, in its order, as of `now`."""
    bands = bands_of(fleet.profiles, fleet.cores)
    present = _present(fleet, bands)
    future = _future(fleet, bands, present, now)
    return [
        _risk(ServerState(i, fleet, bands, present, future, now))
        for i in range(len(fleet.profiles))
    ]


def _points(readings: Floats, bands: Bands) -> Floats:
    """Points [n, judged] of signed readings; 0 for a missing one."""
    points = (
        WARN_POINTS * ramp(readings, bands.calm, bands.warn)
        + (CRITICAL_POINTS - WARN_POINTS) * ramp(readings, bands.warn, bands.critical)
        + (_WORST - CRITICAL_POINTS) * ramp(readings, bands.critical, bands.worst)
    )
    known: Floats = np.nan_to_num(points)
    return known


def _present(fleet: FleetState, bands: Bands) -> Present:
    recent, latest = judged(fleet.recent), judged(fleet.latest)
    silent = ~(np.asarray(fleet.age_s) <= SILENT_AFTER_S) | np.isnan(fleet.latest).all(axis=1)
    last_step = recent[:, -1] if recent.shape[1] else np.full_like(latest, np.nan)
    milder = np.where(_BURSTY, np.fmin(latest, last_step), latest)
    readings = np.where(np.isnan(latest) | silent[:, None], np.nan, milder)
    slopes, sure = _slopes(recent)
    level = _points(readings, bands)
    soon = _points(readings + sure * TREND_HOURS, bands)
    points = np.minimum(soon, level + TREND_POINTS)
    joint = _joint(points)
    score = np.minimum(100.0, points.max(axis=1) + joint)
    return Present(
        silent, readings, np.where(sure > 0, slopes, 0.0), points, joint,
        np.where(silent, np.nan, score), readings >= bands.critical,
    )  # fmt: skip


def _slopes(recent: Floats) -> tuple[Floats, Floats]:
    """Slope per hour [n, judged] of `recent` [n, steps, judged], and what of its rise is sure.

    Sure is what exceeds two standard errors of the straight line, so that noise is no trend.
    """
    seen = ~np.isnan(recent)
    count = np.maximum(seen.sum(axis=1), 1)
    hours = (np.arange(recent.shape[1]) * STEP_MINUTES / 60)[None, :, None]
    x = np.where(seen, hours - (seen * hours).sum(axis=1, keepdims=True) / count[:, None], 0.0)
    y = np.where(seen, recent, 0.0)
    y = np.where(seen, y - y.sum(axis=1, keepdims=True) / count[:, None], 0.0)
    spread = np.maximum((x * x).sum(axis=1), 1e-9)
    slope = (x * y).sum(axis=1) / spread
    left = ((y - slope[:, None] * x) ** 2).sum(axis=1) / np.maximum(count - 2, 1)
    sure = np.maximum(slope - 2 * np.sqrt(left / spread), 0.0)
    return slope, np.where(count >= TREND_STEPS, sure, 0.0)


def _joint(points: Floats) -> Floats:
    """Points [n] on top when CPU, memory and I/O wait are high together; up to JOINT_POINTS."""
    cpu, memory, iowait = (
        np.minimum(points[:, i] / CRITICAL_POINTS, 1.0) for i in (CPU, MEMORY, IOWAIT)
    )
    pairs: Floats = cpu * memory + cpu * iowait + memory * iowait
    return JOINT_POINTS / 3 * pairs


def _future(fleet: FleetState, bands: Bands, present: Present, now: datetime) -> Future:
    """The odds of a breach within each lead, from the forecast.

    Within a lead they are the highest odds of any of its steps, and of a server the highest of any
    of its metrics. Neighbouring steps of one series fail together, and so do memory, swap and I/O
    wait: then the highest is exact, and always it is the least that the odds can be. 1 − ∏(1 − p)
    takes 96 steps of 8 metrics as independent and makes 0.5 of a healthy server's 0.001 each.
    """
    elapsed = np.array([_elapsed_minutes(issued, now) for issued in fleet.issued_at])
    shift = _recovered(fleet, bands, present, elapsed)
    curve = step_odds(fleet.quantiles, bands, shift)
    ends = np.arange(1, HORIZON_STEPS + 1) * STEP_MINUTES
    usable = (ends > elapsed[:, None])[:, :, None] & ~np.isnan(curve)
    curve = np.maximum.accumulate(np.where(usable, curve, -np.inf), axis=1)
    reach = np.nan_to_num(elapsed)[:, None] + np.array(LEAD_MINUTES)
    last = np.clip(np.ceil(reach / STEP_MINUTES).astype(int) - 1, 0, HORIZON_STEPS - 1)
    odds = np.take_along_axis(curve, last[:, :, None], axis=1)
    odds = _as_issued(np.where(np.isinf(odds), np.nan, odds), fleet.known)
    points = np.interp(odds, *ODDS_POINTS) * _URGENCY[:, None]
    points = np.minimum(points, _WORST)  # a forecast is never worse than what it forecasts
    score = np.fmax.reduce(points, axis=(1, 2))
    return Future(curve, odds, np.nan_to_num(points), score, _times(fleet, curve, shift))


def _recovered(fleet: FleetState, bands: Bands, present: Present, elapsed: Floats) -> Floats:
    """Return what recoveries since the forecasts add to them: [n, judged], signed."""
    recent = judged(fleet.recent)
    readings = present.readings
    if recent.shape[1]:
        readings = np.where(_BURSTY, np.fmax(readings, recent[:, -1]), readings)
    under_way = (np.nan_to_num(elapsed) // STEP_MINUTES).astype(int)
    return recovery_shift(fleet.quantiles, readings, recent, bands, under_way)


def _as_issued(odds: Floats, known: KnownOdds | None) -> Floats:
    """Return odds [n, leads, judged] as they were issued, moved by what has changed since.

    `odds` are the raw ones of now: in log odds, they move those issued as far as they moved.
    """
    if known is None:
        return odds
    p, raw = known.p.swapaxes(1, 2), known.raw.swapaxes(1, 2)
    moved = clipped(sigmoid(logit(p) + logit(odds) - logit(raw)))
    moved = np.maximum.accumulate(moved, axis=1)
    return np.where(np.isnan(odds) | np.isnan(moved), odds, moved)


def _times(fleet: FleetState, curve: Floats, shift: Floats) -> Floats | None:
    """Return the times issued with the odds; those of the curve where they no longer hold."""
    if fleet.known is None:
        return None
    starts = [np.nan if at is None else at.timestamp() for at in fleet.issued_at]
    times = fleet.known.times.copy()
    stale = (shift < 0) | np.isnan(fleet.known.p).all(axis=2)
    for i, share in enumerate((EARLIEST, LIKELY, LATEST)):
        reached = curve >= share
        step = np.where(reached.any(axis=1), reached.argmax(axis=1), np.nan)
        by_curve = np.array(starts)[:, None] + step * STEP.total_seconds()
        times[..., i] = np.where(stale, by_curve, times[..., i])
    return times


def _elapsed_minutes(issued_at: datetime | None, now: datetime) -> float:
    """Minutes since the forecast's first step began; NaN for one that is no longer good."""
    if issued_at is None or not -STEP <= now - issued_at <= FORECAST_GOOD_FOR:
        return float("nan")
    return (now - issued_at) / timedelta(minutes=1)


def _risk(server: ServerState) -> Risk:
    now_score = _number(server.present.score[server.i])
    ahead_score = _number(server.future.score[server.i])
    score = max(SILENT_POINTS if now_score is None else now_score, ahead_score or 0.0)
    odds = server.odds()
    worst = _likeliest(odds)
    at = partial(server.breach_at, worst)
    return Risk(
        now_score=now_score,
        ahead_score=ahead_score,
        score=score,
        severity=severity_of(score),
        p_breach=tuple(_number(p) for p in np.fmax.reduce(odds, axis=1)),
        breach_metric=None if worst is None else NAMES[worst],
        breach_earliest=at(EARLIEST),
        breach_likely=at(LIKELY),
        breach_latest=at(LATEST),
        reasons=reasons_of(server),
    )


def _likeliest(odds: Floats) -> int | None:
    """The metric with the highest odds [leads, judged], sooner ones counting more."""
    known = np.nan_to_num(odds)
    likely = known[-1] >= EARLIEST
    return int(np.where(likely, known.sum(axis=0), 0.0).argmax()) if likely.any() else None


def _number(value: float) -> float | None:
    return None if value != value else float(value)
