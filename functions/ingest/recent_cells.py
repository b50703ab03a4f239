"""Recent cells: which values have been accepted lately, so that an answer can tell of repeats."""

import threading

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["RecentCells"]

# Of each half; both take about 10 MB.
MAX_ROWS = 50_000


class RecentCells:
    """Metrics with a value by server and time, of the last rows; safe to share between threads.

    What was sent earlier, or before a restart, is counted by the writer alone, in the commit log.
    """

    def __init__(self, metrics: tuple[str, ...]) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._new: dict[int, int] = {}  # masks by hash of server and time
        self._old: dict[int, int] = {}

    def add(self, rows: pa.Table) -> int:
        """Remember rows of `metrics`; return how many of their values were there already."""
        repeated = 0
        servers, times = rows["server"].to_pylist(), rows["ts"].cast(pa.int64()).to_pylist()
        with self._lock:
            keys = map(hash, zip(servers, times, strict=True))
            for key, mask in zip(keys, self._masks(rows), strict=True):
                known = self._new.get(key, 0) | self._old.get(key, 0)
                repeated += (known & mask).bit_count()
                self._new[key] = known | mask
            if len(self._new) > MAX_ROWS:
                self._new, self._old = {}, self._new
        return repeated

    def _masks(self, rows: pa.Table) -> list[int]:
        """A bit for each metric that a row has a value of."""
        masks = np.zeros(rows.num_rows, np.int64 if len(self._metrics) < 63 else object)
        for place, name in enumerate(self._metrics):
            if name in rows.column_names:
                masks |= np.asarray(pc.is_valid(rows[name])).astype(masks.dtype) << place
        return masks.tolist()  # type: ignore[no-any-return]
