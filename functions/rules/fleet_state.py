"""Fleet state: the inputs of the risk rule, and each metric's present, levels and odds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.model.grid import HORIZON_STEPS, STEP
from storage.model.metrics import METRICS

Floats = npt.NDArray[np.floating[Any]]

# Only metrics with levels are judged; arrays have them in this order.
JUDGED = tuple(m for m in METRICS if m.levels is not None)
NAMES = [m.name for m in JUDGED]
CPU, MEMORY, IOWAIT = (
    NAMES.index(name) for name in ("cpu_idle_pct", "mem_used_pct", "cpu_iowait_pct")
)

SILENT_AFTER_S = 300.0
SILENT_POINTS = 60.0  # Warning: a server whose data stopped is not healthy

LEAST_ODDS = 0.001  # no forecast is a certainty
EARLIEST, LIKELY, LATEST = 0.1, 0.5, 0.9


@dataclass(frozen=True, slots=True)
class FleetState:
    """What is known of n servers, all in one order; NaN is missing.

    `recent` [n, steps, 14] holds 5-minute means of the last half hour or hour, oldest first;
    `latest` [n, 14] the last sample and `age_s` [n] its age in seconds (NaN: there is none).
    `quantiles` [n, 96, 14, 7] forecasts the steps from `issued_at` on (None: no forecast).
    """

    profiles: Sequence[str]
    cores: Sequence[int | None]
    recent: Floats
    latest: Floats
    age_s: Floats
    quantiles: Floats
    issued_at: Sequence[datetime | None]

    def part(self, some: slice) -> "FleetState":
        """Return the servers of a range."""
        return FleetState(**{name: getattr(self, name)[some] for name in self.__slots__})


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
    """Odds of a breach: `curve` [n, 96, judged] by step, `odds` and `points` [n, leads, judged]."""

    curve: Floats
    odds: Floats
    points: Floats
    score: Floats


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

    def breach_at(self, metric: int | None, odds: float) -> datetime | None:
        """Return when the odds of `metric` passing its critical level reach `odds`; None: never."""
        if metric is None:
            return None
        if self.present.breached[self.i, metric]:
            return self.now
        step = int(np.searchsorted(self.future.curve[self.i, :, metric], odds))
        return None if step == HORIZON_STEPS else max(self.now, self.issued_at + step * STEP)
