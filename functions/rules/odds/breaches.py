"""Breaches: when a metric was at or over a level, by the one definition that all of the loop uses.

A breach is three 5-minute steps in a row at or over the level, after two hours without. It lasts
until two hours without: steps in a row that return sooner belong to the same breach. A rule may ask
for any single step instead (`ANY_SAMPLE`). All values are signed so that more is worse.

A missing step is neither at the level nor without: it ends a row of steps, and it does not count to
the two hours. After eight hours nothing is left of a breach, whether steps were missing or not; so
what happened is the same whether it is read at once or in pieces that overlap by `CARRY_STEPS`.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from functions.rules.defaults import BREACH_QUIET_STEPS, BREACH_STEPS
from storage.model.grid import HORIZON_STEPS

__all__ = [
    "ANY_SAMPLE", "CARRY_STEPS", "Breach", "at_level", "breaches", "breaching",
    "first_breach_within", "outcomes", "run_starts",
]  # fmt: skip

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

ANY_SAMPLE: Final = 1
# After so many steps nothing is left of a breach …
_FORGET_STEPS: Final = HORIZON_STEPS
# … and by so many must pieces of history overlap to have the breaches of the whole.
CARRY_STEPS: Final = _FORGET_STEPS + BREACH_STEPS
# An outcome without a breach is known when so much of the time was seen.
_LEAST_SEEN: Final = 0.5


class Breach(NamedTuple):
    """A breach of one series: its row, its first step, and the step after its last one so far."""

    row: int
    start: int
    stop: int


def at_level(values: Floats, level: Floats) -> Mask:
    """Return where `values` [n, T] are at or over `level` [n] or [n, T]; False where missing."""
    limits = np.asarray(level)
    mask: Mask = values >= (limits[:, None] if limits.ndim == 1 else limits)
    return mask


def run_starts(mask: Mask, steps: int = BREACH_STEPS) -> Mask:
    """Return where `steps` True values in a row of `mask` [n, T] begin: [n, T − steps + 1]."""
    length = max(mask.shape[1] - steps + 1, 0)
    begins = np.ones((mask.shape[0], length), bool)
    for i in range(steps):
        begins &= mask[:, i : i + length]
    return begins


def breaches(
    values: Floats, level: Floats, steps: int = BREACH_STEPS, quiet: int = BREACH_QUIET_STEPS
) -> list[Breach]:
    """Return the breaches of `level` [n] in `values` [n, T], by row and time.

    A row of steps at the very beginning counts, as nothing is known of the time before.
    """
    values = np.asarray(values)
    known = np.cumsum(~np.isnan(values), axis=1)
    merged: list[Breach] = []
    for run in _runs(at_level(values, level), steps):
        last = merged[-1] if merged else None
        if last is not None and last.row == run.row:
            without = known[run.row, run.start - 1] - known[run.row, last.stop - 1]
            if without < quiet and run.start - last.stop < _FORGET_STEPS:
                merged[-1] = last._replace(stop=run.stop)
                continue
        merged.append(run)
    return merged


def _runs(mask: Mask, steps: int) -> list[Breach]:
    """Return the runs of at least `steps` True values of `mask` [n, T]."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    _, stops = np.nonzero(edges == -1)
    long = stops - starts >= steps
    return [
        Breach(int(row), int(start), int(stop))
        for row, start, stop in zip(rows[long], starts[long], stops[long], strict=True)
    ]


def breaching(
    values: Floats, level: Floats, steps: int = BREACH_STEPS, quiet: int = BREACH_QUIET_STEPS
) -> Mask:
    """Return [n, T + 1]: whether a breach goes on, or ended less than two hours ago, at each step.

    At such a time no new breach can begin. Entry t is about the start of step t, as known from the
    steps before it.
    """
    n, length = values.shape
    going_on = np.zeros((n, length + 1), bool)
    known = np.cumsum(~np.isnan(values), axis=1)
    for row, start, stop in breaches(values, level, steps, quiet):
        over = int(np.searchsorted(known[row], known[row, stop - 1] + quiet)) + 1
        going_on[row, start + steps : min(over, stop + _FORGET_STEPS, length + 1)] = True
    return going_on


def first_breach_within(
    values: Floats, level: Floats, horizon: int = HORIZON_STEPS, steps: int = BREACH_STEPS
) -> npt.NDArray[np.intp]:
    """Return the step [n] at which `steps` steps in a row at the level first begin; −1: never.

    `values` [n, T] start at the time of issue. They begin within the first `horizon` steps, and
    may end after them.
    """
    begins = run_starts(at_level(np.asarray(values), level), steps)[:, :horizon]
    first = begins.argmax(axis=1) if begins.shape[1] else np.zeros(len(begins), np.intp)
    return np.where(begins.any(axis=1), first, -1)


def outcomes(
    values: Floats,
    level: Floats,
    origins: npt.NDArray[np.integer[Any]],
    horizons: tuple[int, ...],
    steps: int = BREACH_STEPS,
) -> Floats:
    """Return what came of odds issued at the start of the steps `origins` [m]: [n, m, horizons].

    1: the level was reached for `steps` steps in a row that begin within the horizon (in steps).
    0: it was not. NaN: that is not known, as the time is not over or half of it is missing.
    """
    values = np.asarray(values)
    n, length = values.shape
    begins = np.zeros((n, length + 1), np.int64)
    started = run_starts(at_level(values, level), steps)
    begins[:, 1 : started.shape[1] + 1] = np.cumsum(started, axis=1)
    begins[:, started.shape[1] + 1 :] = begins[:, started.shape[1], None]
    seen = np.zeros((n, length + 1), np.int64)
    seen[:, 1:] = np.cumsum(~np.isnan(values), axis=1)
    came = np.full((n, len(origins), len(horizons)), np.nan)
    for i, horizon in enumerate(horizons):
        stop = np.minimum(origins + horizon, length)
        reached = begins[:, stop] > begins[:, origins]
        full = origins + horizon + steps - 1 <= length
        enough = seen[:, stop] - seen[:, origins] >= _LEAST_SEEN * horizon
        came[:, :, i] = np.where(reached, 1.0, np.where(full & enough, 0.0, np.nan))
    return came
