"""Counters that only grow: their differences by time, each series for itself."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from functions.normalize.numbers import Floats

__all__ = ["CounterRates"]

# Over a longer gap the mean says nothing of the time at which it would stand.
LONGEST_GAP_S = 900.0
Series = tuple[str, str, str]  # counter, server, and the item of it that is counted
# By fingerprint: no name of a server goes where a deletion would have to look for it.
State = dict[str, tuple[int, float]]


class CounterRates:
    """The last reading of each series, which the next is compared with."""

    def __init__(self, state: State | None = None) -> None:
        self._last: dict[Series, tuple[int, float]] = {}
        self._kept: State = dict(state or {})

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
        """Difference per second of each reading [n] to the one before it in time.

        NaN for the first one of a series, after a reset, for a reading that is older than one seen
        before, and over a gap of more than a quarter of an hour.
        """
        rates = np.full(len(values), np.nan)
        for i in np.argsort(times, kind="stable"):
            value = values[i]
            if value != value:
                continue
            series = (counter, servers[i], items[i] or "")
            before = self._last.get(series)
            if before is None and self._kept:
                before = self._kept.get(_fingerprint(series))
            if before is not None and times[i] <= before[0]:
                continue
            self._last[series] = (int(times[i]), float(value))
            if before is not None:
                rates[i] = _rate(before, int(times[i]), value)
        return rates


def _fingerprint(series: Series) -> str:
    return hashlib.blake2b("\0".join(series).encode(), digest_size=8).hexdigest()


def _rate(before: tuple[int, float], at_us: int, value: float) -> float:
    span_s, grown = (at_us - before[0]) / 1e6, value - before[1]
    return grown / span_s if grown >= 0 and span_s <= LONGEST_GAP_S else np.nan
