"""Functions of PromQL over a range of samples, for one series at each time of a grid."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from web.promql.vectors import Floats

__all__ = ["OVER_TIME", "Window", "deriv", "predicted", "quantile_over_time"]

Places = NDArray[np.int64]


class Window:
    """The samples of one series, at `ts` [s], in the range before each of the `times`.

    A range of `seconds` holds what is later than its begin, and up to its end. Times are counted
    from `origin`, so that sums of their squares stay exact.
    """

    def __init__(self, ts: Floats, values: Floats, times: Floats, seconds: float) -> None:
        self.times, self.seconds = times, seconds
        self.first: Places = np.searchsorted(ts, times - seconds, side="right").astype(np.int64)
        self.stop: Places = np.searchsorted(ts, times, side="right").astype(np.int64)
        self.count: Places = self.stop - self.first
        self.origin = float(ts[0]) if len(ts) else 0.0
        self.ts, self.values = ts, values

    def where_known(self, result: Floats, at_least: int = 1) -> Floats:
        """Return the result, NaN where the range has fewer samples."""
        return np.asarray(np.where(self.count >= at_least, result, np.nan))

    def sums(self, of: Floats) -> Floats:
        """Return the sum of `of` over each range."""
        total = np.concatenate([[0.0], np.cumsum(of)])
        return np.asarray(total[self.stop] - total[self.first])

    def reduced(self, ufunc: np.ufunc) -> Floats:
        """Return `ufunc` reduced over each range."""
        padded = np.append(self.values, np.nan)
        known = self.count > 0
        bounds = np.stack([self.first[known], self.stop[known]], axis=1).ravel()
        result = np.full(len(self.times), np.nan)
        if len(bounds):
            result[known] = ufunc.reduceat(padded, bounds)[::2]
        return result

    def at(self, places: Places, of: Floats) -> Floats:
        """Return `of` at these places, NaN where the range has no sample."""
        padded = np.append(of, np.nan)
        return self.where_known(padded[np.clip(places, 0, len(of))])


def _mean(window: Window) -> Floats:
    # Sums of distances: those of large values would lose digits.
    middle = float(window.values.mean()) if len(window.values) else 0.0
    return np.asarray(middle + window.sums(window.values - middle) / window.count)


def _variance(window: Window) -> Floats:
    middle = float(window.values.mean()) if len(window.values) else 0.0
    away = window.values - middle
    mean = window.sums(away) / window.count
    return np.asarray(np.maximum(window.sums(away**2) / window.count - mean**2, 0))


def _changes(window: Window) -> Floats:
    changed = np.concatenate([[0.0], np.cumsum(np.diff(window.values) != 0)]) if len(
        window.values
    ) else np.zeros(1)  # fmt: skip
    last, first = np.maximum(window.stop - 1, 0), np.minimum(window.first, len(changed) - 1)
    return np.asarray(changed[last] - changed[first], np.float64)


def _delta(window: Window) -> Floats:
    """The difference of last and first, extrapolated to the range as Prometheus does."""
    ts, last, first = window.ts, window.stop - 1, window.first
    difference = window.at(last, window.values) - window.at(first, window.values)
    began, ended = window.at(first, ts), window.at(last, ts)
    spanned = ended - began
    apart = spanned / (window.count - 1)
    before = began - (window.times - window.seconds)
    after = window.times - ended
    before = np.where(before >= 1.1 * apart, apart / 2, before)
    after = np.where(after >= 1.1 * apart, apart / 2, after)
    return window.where_known(difference * (spanned + before + after) / spanned, at_least=2)


def _idelta(window: Window) -> Floats:
    last = window.at(window.stop - 1, window.values)
    return window.where_known(last - window.at(window.stop - 2, window.values), at_least=2)


def _line(window: Window) -> tuple[Floats, Floats]:
    """Slope [1/s] and value at each time of a least-squares line through the range."""
    ts, values = window.ts - window.origin, window.values
    middle = float(values.mean()) if len(values) else 0.0
    n, at = window.count, window.times - window.origin
    mean_t, mean_v = window.sums(ts) / n, window.sums(values - middle) / n
    covariance = window.sums(ts * (values - middle)) / n - mean_t * mean_v
    variance = window.sums(ts**2) / n - mean_t**2
    slope = np.where(variance > 0, covariance / variance, np.nan)
    return window.where_known(slope, 2), window.where_known(
        middle + mean_v + slope * (at - mean_t), 2
    )


def deriv(window: Window) -> Floats:
    """Return the slope of a least-squares line [1/s]."""
    return _line(window)[0]


def predicted(window: Window, ahead: Floats) -> Floats:
    """Return the value of that line `ahead` seconds after each time."""
    slope, value = _line(window)
    return np.asarray(value + slope * ahead)


def quantile_over_time(window: Window, q: float) -> Floats:
    """Return the quantile of each range; infinite outside 0 to 1, as Prometheus has it."""
    if not 0 <= q <= 1:
        bound = np.nan if np.isnan(q) else np.copysign(np.inf, q - 0.5)
        return window.where_known(np.full(len(window.times), bound))
    result = np.full(len(window.times), np.nan)
    for i in np.flatnonzero(window.count):
        result[i] = np.quantile(window.values[window.first[i] : window.stop[i]], q)
    return result


OVER_TIME: Mapping[str, Callable[[Window], Floats]] = {
    "avg_over_time": lambda w: w.where_known(_mean(w)),
    "changes": lambda w: w.where_known(_changes(w)),
    "count_over_time": lambda w: w.where_known(w.count.astype(np.float64)),
    "delta": _delta,
    "deriv": deriv,
    "idelta": _idelta,
    "last_over_time": lambda w: w.at(w.stop - 1, w.values),
    "max_over_time": lambda w: w.reduced(np.maximum),
    "min_over_time": lambda w: w.reduced(np.minimum),
    "present_over_time": lambda w: w.where_known(np.ones(len(w.times))),
    "stddev_over_time": lambda w: w.where_known(np.sqrt(_variance(w))),
    "stdvar_over_time": lambda w: w.where_known(_variance(w)),
    "sum_over_time": lambda w: w.where_known(w.sums(w.values)),
}
