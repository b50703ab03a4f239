"""Recent readings of a server: what comes late joins the readings of its time.

The shards of a Prometheus each send some of a server's series, and one may lag by minutes. A metric
that is computed of several series has its value once the last of them is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from functions.ingest.partial_samples import COUNTERS, Column, Part

__all__ = ["JoinedReadings", "RecentReadings"]

# As far as a shard may lag behind the others of its Prometheus.
KEPT_US = 300_000_000
MAX_ROWS = 64
# Kept at any age: sources are read every 5 minutes too, and the inputs of an agent have times of
# their own.
MIN_ROWS = 8
FEWEST_ROWS = 4  # where there are too many servers for that

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class JoinedReadings:
    """Readings over `times` [µs], in order: those that came now, and those known before.

    `values` is [time, part], NaN where there is no reading; `parts` names its columns.
    """

    times: Times
    parts: Sequence[Part]
    values: Floats
    first: int  # the row of the recent readings with which they begin
    came: Bools  # [time, part]: the reading came now
    written: Bools  # [time, metric]: it has been given out before

    def repeated(self, metrics: Sequence[str]) -> Bools:
        """Which metrics [time, metric] were sent again, rather than computed again.

        Those are the ones that were sent as themselves, and all of a time whose readings all came.
        """
        whole: Bools = np.all(self.came | np.isnan(self.values), axis=1, keepdims=True)
        again: Bools = np.repeat(whole, len(metrics), axis=1)
        places = {name: place for place, name in enumerate(metrics)}
        for part, (kind, _) in enumerate(self.parts):
            if kind in places:
                again[:, places[kind]] |= self.came[:, part]
        return again

    def kinds(self) -> dict[str, dict[str, Floats]]:
        """The columns that have a value, by kind and item."""
        kinds: dict[str, dict[str, Floats]] = {}
        for place in np.flatnonzero(~np.isnan(self.values).all(axis=0)).tolist():
            kind, item = self.parts[place]
            kinds.setdefault(kind, {})[item] = self.values[:, place]
        return kinds


class RecentReadings:
    """The readings of the last 5 minutes, and which metrics were given out of them."""

    def __init__(self, metrics: int) -> None:
        self._parts: dict[Part, int] = {}  # the column of each
        self._counters: dict[str, list[int]] = {}  # their columns by kind
        self._times: Times = np.empty(0, np.int64)
        self._values: Floats = np.empty((0, 0))
        self._written: Bools = np.zeros((0, metrics), np.bool_)

    def join(self, came: Mapping[Part, Column]) -> JoinedReadings:
        """Join readings that came with those that were known, from the ones before them on."""
        stamps = np.fromiter(chain.from_iterable(times for times, _ in came.values()), np.int64)
        numbers = np.fromiter(chain.from_iterable(each for _, each in came.values()), np.float64)
        at = np.unique(stamps)
        first = self._first_needed(came, int(at[0]))
        known = self._times[first:]
        times = np.union1d(known, at)
        parts = self._with_new(came)
        values = np.full((len(times), len(parts)), np.nan)
        arrived = np.zeros(values.shape, np.bool_)
        written = np.zeros((len(times), self._written.shape[1]), np.bool_)
        places = np.searchsorted(times, known)
        values[places, : self._values.shape[1]] = self._values[first:]
        written[places] = self._written[first:]
        columns = np.repeat([parts[part] for part in came], [len(t) for t, _ in came.values()])
        rows = np.searchsorted(times, stamps)
        values[rows, columns] = numbers
        arrived[rows, columns] = True
        return JoinedReadings(times, list(parts), values, first, arrived, written)

    def forget_after(self, latest_us: int) -> None:
        """Forget the readings later than `latest_us` [µs since 1970]."""
        count = int(np.searchsorted(self._times, latest_us, side="right"))
        self._times, self._values = self._times[:count], self._values[:count]
        self._written = self._written[:count]

    def _with_new(self, came: Mapping[Part, Column]) -> dict[Part, int]:
        """The column of each part, the new ones at the end."""
        if came.keys() <= self._parts.keys():
            return self._parts
        parts = dict(self._parts)
        for part in came:
            parts.setdefault(part, len(parts))
        return parts

    def _first_needed(self, came: Mapping[Part, Column], earliest: int) -> int:
        """The row with which each kind of counter that came is compared, of the oldest of them."""
        first = before = int(np.searchsorted(self._times, earliest))
        for kind in {kind for kind, _ in came if kind in COUNTERS}:
            columns = self._counters.get(kind, [])
            rows = np.flatnonzero(~np.isnan(self._values[:before, columns]).all(axis=1))
            if rows.size:
                first = min(first, int(rows[-1]))
        return first

    def keep(self, joined: JoinedReadings, given: Bools, most_values: int) -> None:
        """Keep readings that were joined, and which metrics [time, metric] were `given` out.

        Of the rows, those of the last 5 minutes are kept, as far as they have `most_values`.
        """
        before = self._values[: joined.first]
        if fewer := len(joined.parts) - before.shape[1]:
            before = np.pad(before, ((0, 0), (0, fewer)), constant_values=np.nan)
        times = np.concatenate([self._times[: joined.first], joined.times])
        recent = int(np.searchsorted(times, times[-1] - KEPT_US))
        most = min(MAX_ROWS, max(FEWEST_ROWS, most_values // max(1, len(joined.parts))))
        since = max(min(recent, len(times) - MIN_ROWS), len(times) - most, 0)
        values = np.concatenate([before, joined.values])[since:]
        given = np.concatenate([self._written[: joined.first], joined.written | given])
        self._times, self._written = times[since:], given[since:]
        self._values = self._without_empty(joined.parts, values)

    def _without_empty(self, parts: Sequence[Part], values: Floats) -> Floats:
        """The columns that have a value; takes note of their parts."""
        live: Bools = np.logical_or.reduce(~np.isnan(values), axis=0)
        if len(parts) == len(self._parts) and live.all():
            return values
        kept = [part for part, has in zip(parts, live.tolist(), strict=True) if has]
        self._parts = {part: place for place, part in enumerate(kept)}
        self._counters = {}
        for (kind, _), place in self._parts.items():
            if kind in COUNTERS:
                self._counters.setdefault(kind, []).append(place)
        return values[:, live]
