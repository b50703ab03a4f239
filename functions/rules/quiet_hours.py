"""Quiet hours: when a server can be rebooted with the least harm, by its forecast and its odds.

The harm of a start is the use that is expected while the server is away, as a share of its usual,
plus the chance that a critical level is passed before it is back.

    outlook(context, quantiles, odds)    use and odds at each step ahead, or None: not known
    best_start(outlook, steps, within)   the start with the least harm, compared with now
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from storage.model.grid import HORIZON_STEPS, LEAD_MINUTES, QUANTILES, STEP_MINUTES
from storage.model.metrics import METRIC_NAMES

__all__ = ["Outlook", "QuietHour", "Start", "best_start", "outlook"]

# What counts as use: each sum of metrics, its least usual amount, and whether it is 100 − value.
USES: Final = (
    (("net_in_mb_s", "net_out_mb_s"), 0.05, False),
    (("load_average",), 0.05, False),
    (("cpu_idle_pct",), 1.0, True),
)
# Now is as good as the best start if it costs no more than this share of the usual use.
AS_GOOD: Final = 0.05
_P10, _P50, _P90 = (QUANTILES.index(q) for q in (0.1, 0.5, 0.9))
_NORMAL: Final = NormalDist()
_WIDTH: Final = 2 * _NORMAL.inv_cdf(0.9)  # of the 80 % band, in standard deviations

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outlook:
    """The 96 steps ahead: use as a share of the usual [96], its standard deviation [96], and the
    odds of a breach by the end of each step [96]; None where these are not known.
    """

    use: Floats
    deviation: Floats
    breach: Floats | None


@dataclass(frozen=True, slots=True)
class Start:
    """A start at step `step`: what is expected until the server is back.

    `use`, with its 80 % band `low` to `high`, is a share of the usual; `breach` is the chance that
    a critical level is passed by then.
    """

    step: int
    use: float
    low: float
    high: float
    deviation: float
    breach: float | None

    @property
    def harm(self) -> float:
        """What the start costs; less is better."""
        return self.use + (self.breach or 0.0)


@dataclass(frozen=True, slots=True)
class QuietHour:
    """The start with the least harm and that of now; `sure` is how sure it is that the use is less
    then than now, 0 to 1.
    """

    best: Start
    now: Start
    sure: float

    @property
    def wait(self) -> bool:
        """Whether waiting is better than now."""
        return self.now.harm > self.best.harm + AS_GOOD


def outlook(
    context: npt.NDArray[np.float32], quantiles: npt.NDArray[np.float32],
    odds: tuple[float | None, ...],
) -> Outlook | None:  # fmt: skip
    """Return the outlook from readings [n, 14] and quantiles [96, 14, 7]; None: not known.

    `odds` are those of a breach within LEAD_MINUTES. A use that is usually next to nothing does not
    count; a server without any other is at rest.
    """
    shares, deviations, at_rest = [], [], False
    for names, least, inverted in USES:
        columns = [METRIC_NAMES.index(name) for name in names]
        past, ahead = context[:, columns].astype(float), quantiles[:, columns].astype(float)
        past = (100 - past if inverted else past).sum(axis=1)
        middle, width = ahead[..., _P50].sum(axis=1), (ahead[..., _P90] - ahead[..., _P10]).sum(1)
        known = past[np.isfinite(past)]
        if not known.size or not np.isfinite(middle).all() or not np.isfinite(width).all():
            continue
        usual = known.mean()
        at_rest |= bool(usual < least)
        if usual >= least:
            shares.append(np.maximum(100 - middle if inverted else middle, 0) / usual)
            deviations.append(np.abs(width) / _WIDTH / usual)
    if not shares and not at_rest:
        return None
    none = [np.zeros(HORIZON_STEPS)]
    return Outlook(np.mean(shares or none, 0), np.mean(deviations or none, 0), _by_step(odds))


def _by_step(odds: tuple[float | None, ...]) -> Floats | None:
    """Return the odds by the end of each step, between the leads in proportion to the time."""
    if any(chance is None for chance in odds):
        return None
    known = np.maximum.accumulate([0.0, *(float(chance or 0) for chance in odds)])
    ends = STEP_MINUTES * np.arange(1, HORIZON_STEPS + 1)
    return np.interp(ends, [0, *LEAD_MINUTES], known)


def best_start(ahead: Outlook, first: int, steps: int, within: int) -> QuietHour:
    """Return the start with the least harm of those from step `first` to `within` steps later.

    The server is away for `steps` steps and back by the last of the 96; of equal starts the first
    is taken. Raises ValueError if no start is possible.
    """
    last = min(first + within, HORIZON_STEPS - steps)
    if steps < 1 or last < first:
        raise ValueError(
            f"{steps} steps from step {first} on do not fit into {HORIZON_STEPS} steps"
        )
    starts = [_start(ahead, step, steps) for step in range(first, last + 1)]
    best, now = min(starts, key=lambda start: (start.harm, start.step)), starts[0]
    return QuietHour(best, now, _sure(best, now))


def _start(ahead: Outlook, step: int, steps: int) -> Start:
    use = float(ahead.use[step : step + steps].mean())
    deviation = float(ahead.deviation[step : step + steps].mean())
    half = deviation * _WIDTH / 2
    breach = None if ahead.breach is None else float(ahead.breach[step + steps - 1])
    return Start(step, use, max(0.0, use - half), use + half, deviation, breach)


def _sure(best: Start, now: Start) -> float:
    """Return how sure it is that the use at `best` is less than at `now`."""
    if best.step == now.step:
        return 0.5
    spread = float(np.hypot(best.deviation, now.deviation))
    less = now.use - best.use
    return _NORMAL.cdf(less / spread) if spread > 0 else float(less > 0) + 0.5 * (less == 0)
