"""Gaps: samples are split where time is missing, so that the commit log shows the gap."""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pyarrow as pa

__all__ = ["split_at_gaps"]

# The page of sources shows gaps from this length on; a source with long steps has longer ones.
MIN_GAP = timedelta(minutes=5)
MIN_STEPS = 10
MAX_GAPS = 5


def split_at_gaps(samples: pa.Table) -> Iterator[pa.Table]:
    """Yield the samples before, between and after the longest gaps in `ts`, in order.

    In one segment an outage of the source would not show: the segment spans from the samples that
    were read again, before the gap, to those after it.
    """
    times = samples["ts"].cast(pa.int64()).to_numpy()
    distinct = np.unique(times)
    steps = np.diff(distinct)  # [microseconds]
    min_gap = MIN_GAP // timedelta(microseconds=1)
    if not len(steps) or steps.max() <= min_gap:
        yield samples
        return
    gaps = np.flatnonzero(steps > max(min_gap, MIN_STEPS * float(np.median(steps))))
    longest = gaps[np.argsort(steps[gaps])[::-1][:MAX_GAPS]]
    part = np.searchsorted(np.sort(distinct[longest]), times, side="left")
    for i in range(len(longest) + 1):
        yield samples.filter(pa.array(part == i))
