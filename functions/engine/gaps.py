"""Samples cut where time is missing, so that the ledger tells a hole from what was fetched."""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pyarrow as pa

__all__ = ["split_at_gaps"]

# The page of sources takes so long for a hole; a source with a slower beat has larger steps.
HOLE = timedelta(minutes=5)
BEATS = 10
MAX_HOLES = 5


def split_at_gaps(samples: pa.Table) -> Iterator[pa.Table]:
    """The samples before, between and after the longest holes in their times, in order.

    An outage that the source has kept nothing of would hide in one segment: it begins with what was
    read again, before the hole.
    """
    times = samples["ts"].cast(pa.int64()).to_numpy()
    moments = np.unique(times)
    steps = np.diff(moments)
    if not len(steps) or steps.max() <= HOLE // timedelta(microseconds=1):
        yield samples
        return
    least = max(HOLE // timedelta(microseconds=1), BEATS * float(np.median(steps)))
    holes = np.flatnonzero(steps > least)
    longest = holes[np.argsort(steps[holes])[::-1][:MAX_HOLES]]
    which = np.searchsorted(np.sort(moments[longest]), times, side="left")
    for i in range(len(longest) + 1):
        yield samples.filter(pa.array(which == i))
