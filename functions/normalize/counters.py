"""Counters to rates: the one rule for every source, and the last reading of each series."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from functions.normalize.numbers import Floats

__all__ = ["MAX_GAP_S", "CounterRates", "growth", "rate"]

# Two steps of the 5-minute grid. A rate is a mean over the gap and stands in one step only: over a
# longer gap it would hide what happened in the steps between. Sources that are read every 5 minutes
# keep their rates when one reading fails.
MAX_GAP_S = 600.0
Series = tuple[str, str, str]  # counter, server, and the item of it that is counted
# By fingerprint: no name of a server goes where an erasure would have to look for it.
State = dict[str, tuple[int, float]]


def growth(before: Any, after: Any, seconds: Any) -> Floats:
    """By how much counters grew in so many seconds; the arrays are broadcast against each other.

    NaN where no time passed or more than MAX_GAP_S, and where a value is not known at both ends.
    A negative growth is a reset.
    """
    with np.errstate(invalid="ignore"):
        grown = np.asarray(after, np.float64) - np.asarray(before, np.float64)
        span = np.asarray(seconds, np.float64)
        return np.where((span > 0) & (span <= MAX_GAP_S), grown, np.nan)


def rate(before: Any, after: Any, seconds: Any) -> Floats:
    """Difference of counters divided by the seconds between them; broadcast like `growth`.

    NaN, never a negative rate or a spike: after a reset (the counter decreased), over a gap of more
    than MAX_GAP_S, where no time passed, and where a value is not known at both ends.
    """
    grown = growth(before, after, seconds)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(grown >= 0, grown / np.asarray(seconds, np.float64), np.nan)


class CounterRates:
    """The last reading of each series, with which the next is compared."""

    def __init__(self, state: State | None = None) -> None:
        self._last: dict[Series, tuple[int, float]] = {}
        self._kept: State = dict(state or {})
        self._begun: set[Series] | None = None
        self._latest_us: int | None = None

    def begin(self) -> None:
        """Begin a file: the first reading of a series in it may be older than the last one."""
        self._begun = set()

    def follow_clock(self, latest_us: int) -> None:
        """Forget readings later than `latest_us`, the last time that can be true at present.

        Otherwise no reading would be newer, for as long as this host's clock was ahead.
        """
        if self._latest_us is not None and latest_us < self._latest_us:
            self._last = {key: last for key, last in self._last.items() if last[0] <= latest_us}
        if self._latest_us is None or latest_us < self._latest_us:
            self._kept = {key: last for key, last in self._kept.items() if last[0] <= latest_us}
        self._latest_us = latest_us

    def state(self) -> State:
        """The last readings, for JSON."""
        return self._kept | {_fingerprint(series): last for series, last in self._last.items()}

    def rates(
        self,
        counter: str,
        servers: Sequence[str],
        items: Sequence[str | None],
        times: npt.NDArray[np.int64],
        values: Floats,
    ) -> Floats:
        """The rate per second [n] from the reading before each one, by the rule of `rate`.

        `times` [n] are microseconds since 1970, in any order. NaN too for the first reading of a
        series and for one that is not newer than the last that was seen.
        """
        before = np.full(len(values), np.nan)
        seconds = np.zeros(len(values))
        for i in np.argsort(times, kind="stable").tolist():
            value = values[i]
            if value != value:
                continue
            series = (counter, servers[i], items[i] or "")
            last = self._last.get(series)
            if last is None and self._kept:
                last = self._kept.get(_fingerprint(series))
            at_us = int(times[i])
            if last is not None and at_us <= last[0]:
                if self._begun is None or series in self._begun:
                    continue
                last = None
            if self._begun is not None:
                self._begun.add(series)
            self._last[series] = (at_us, float(value))
            if last is not None:
                before[i], seconds[i] = last[1], (at_us - last[0]) / 1e6
        return rate(before, values, seconds)


def _fingerprint(series: Series) -> str:
    return hashlib.blake2b("\0".join(series).encode(), digest_size=8).hexdigest()
