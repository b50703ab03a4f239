"""Fleet state: the inputs of the risk rule, and each metric's present, levels and odds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.model.grid import HORIZON_STEPS, STEP
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.profiles import levels_for

Floats = npt.NDArray[np.floating[Any]]

# Only metrics with levels are judged; arrays have them in this order.
JUDGED = tuple(m for m in METRICS if m.levels is not None)
NAMES = [m.name for m in JUDGED]
CPU, MEMORY, IOWAIT = (
    NAMES.index(name) for name in ("cpu_idle_pct", "mem_used_pct", "cpu_iowait_pct")
)
_LABELS = {
    "cpu_iowait_pct": "I/O wait",
    "cpu_idle_pct": "CPU used",
    "mem_used_pct": "memory",
    "swap_used_pct": "swap",
    "disk_usage_pct": "disk",
    "back_close_wait": "CLOSE_WAIT to back ends",
    "front_close_wait": "CLOSE_WAIT to clients",
    "load_average": "load",
}

_COLUMNS = [METRIC_NAMES.index(name) for name in NAMES]
SIGNS = np.array([-1.0 if m.bad_when == "low" else 1.0 for m in JUDGED])

SILENT_AFTER_S = 300.0
SILENT_POINTS = 60.0  # Warning: a server whose data stopped is not healthy

LEAST_ODDS = 0.001  # no forecast is a certainty
EARLIEST, LIKELY, LATEST = 0.1, 0.5, 0.9
_SHARES = (EARLIEST, LIKELY, LATEST)


@dataclass(frozen=True, slots=True)
class KnownOdds:
    """Odds as they were issued last, of n servers; NaN where there are none.

    `p` and `raw` (before calibration) are [n, judged, leads]; `times` [n, judged, 3] are the
    earliest, likely and latest time of a breach in seconds since 1970 (NaN: never). `drivers` has,
    of each server, what raises the odds of a judged metric, in words.
    """

    p: Floats
    raw: Floats
    times: Floats
    drivers: Sequence[Mapping[int, Sequence[str]]]

    def __getitem__(self, some: slice) -> "KnownOdds":
        """Return the servers of a range."""
        return KnownOdds(self.p[some], self.raw[some], self.times[some], self.drivers[some])


@dataclass(frozen=True, slots=True)
class FleetState:
    """What is known of n servers, all in one order; NaN is missing.

    `recent` [n, steps, 14] holds 5-minute means of the last half hour or hour, oldest first;
    `latest` [n, 14] the last sample and `age_s` [n] its age in seconds (NaN: there is none).
    `quantiles` [n, 96, 14, 7] forecasts the steps from `issued_at` on (None: no forecast). `known`
    are the odds that were issued with it; without them those of the bands count.
    """

    profiles: Sequence[str]
    cores: Sequence[int | None]
    recent: Floats
    latest: Floats
    age_s: Floats
    quantiles: Floats
    issued_at: Sequence[datetime | None]
    known: KnownOdds | None = None

    def part(self, some: slice) -> "FleetState":
        """Return the servers of a range."""
        known = None if self.known is None else self.known[some]
        others = {name: getattr(self, name)[some] for name in self.__slots__ if name != "known"}
        return FleetState(**others, known=known)


@dataclass(frozen=True, slots=True)
class Bands:
    """The levels of each judged metric: all [n, judged], signed so that more is worse."""

    calm: Floats
    warn: Floats
    critical: Floats
    worst: Floats


@dataclass(frozen=True, slots=True)
class Present:
    """[n] or [n, judged]; `readings` and `slopes` (per hour) signed so that more is worse."""

    silent: npt.NDArray[np.bool_]
    readings: Floats
    slopes: Floats
    points: Floats
    joint: Floats
    score: Floats
    breached: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Future:
    """Odds of a breach: `curve` [n, 96, judged] by step, `odds` and `points` [n, leads, judged].

    `times` [n, judged, 3] are those that were issued with the odds, in seconds since 1970; without
    them (None) the curve tells when odds are reached.
    """

    curve: Floats
    odds: Floats
    points: Floats
    score: Floats
    times: Floats | None = None


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server: its index in the arrays, and the arrays."""

    i: int
    fleet: FleetState
    bands: Bands
    present: Present
    future: Future
    now: datetime

    @property
    def issued_at(self) -> datetime:
        """Return when the forecast starts; without one, now."""
        return self.fleet.issued_at[self.i] or self.now

    def odds(self) -> Floats:
        """Return the odds [leads, judged]; with a forecast, near 1 for present breaches."""
        odds: Floats = self.future.odds[self.i]
        if np.isnan(odds).all():
            return odds
        with_present: Floats = np.where(self.present.breached[self.i], 1 - LEAST_ODDS, odds)
        return with_present

    def drivers(self, metric: int) -> Sequence[str]:
        """Return what raises the odds of `metric`, in words, strongest first."""
        known = self.fleet.known
        return () if known is None else known.drivers[self.i].get(metric, ())

    def breach_at(self, metric: int | None, odds: float) -> datetime | None:
        """Return when the odds of `metric` passing its critical level reach `odds`; None: never."""
        if metric is None:
            return None
        if self.present.breached[self.i, metric]:
            return self.now
        if self.future.times is not None:
            at = self.future.times[self.i, metric, _SHARES.index(odds)]
            return None if np.isnan(at) else max(self.now, datetime.fromtimestamp(at, UTC))
        step = int(np.searchsorted(self.future.curve[self.i, :, metric], odds))
        return None if step == HORIZON_STEPS else max(self.now, self.issued_at + step * STEP)


def judged(values: Floats) -> Floats:
    """Return the judged metrics of [..., 14], as [..., judged], signed so that more is worse."""
    signed: Floats = np.asarray(values, np.float64)[..., _COLUMNS] * SIGNS
    return signed


def judged_quantiles(quantiles: Floats, i: int) -> Floats:
    """Return the quantiles [n, 96, 7] of judged metric `i`, of [n, 96, 14, 7], signed likewise."""
    of_metric: Floats = quantiles[:, :, _COLUMNS[i], :]
    # the grid of quantiles mirrors itself
    return -of_metric[..., ::-1] if SIGNS[i] < 0 else of_metric


@lru_cache(maxsize=1024)
def _band(profile: str, cores: int | None) -> Floats:
    """Calm, warn, critical and worst reading: [4, judged], signed so that more is worse."""
    levels = levels_for(profile, cores)
    rows = []
    for m in JUDGED:
        warn, critical = levels[m.name].warn, levels[m.name].critical
        if m.bad_when == "low":
            rows.append((-warn - 1.5 * (warn - critical), -warn, -critical, -m.lowest))
            continue
        calm = max(warn - 1.5 * (critical - warn), 0.6 * warn)
        rows.append((calm, warn, critical, 2 * critical if m.highest is None else m.highest))
    return np.array(rows).T


def bands_of(profiles: Sequence[str], cores: Sequence[int | None]) -> Bands:
    """Return the levels of servers of these profiles and core counts."""
    rows = [_band(profile, count) for profile, count in zip(profiles, cores, strict=True)]
    stacked = np.array(rows).reshape(len(rows), 4, len(JUDGED))
    return Bands(*(stacked[:, i] for i in range(4)))


def label(metric: int) -> str:
    """Return the name of judged metric `metric` within a sentence."""
    return _LABELS[NAMES[metric]]


def value_text(metric: int, signed: float) -> str:
    """Return a signed reading as people see it: CPU used for idle, and its unit."""
    value = 100 + signed if metric == CPU else signed
    return f"{amount(value)} %" if JUDGED[metric].unit == "%" else amount(value)


def amount(value: float) -> str:
    """Return a number as text, to one decimal at most."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0")
