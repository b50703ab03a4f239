"""The past of a fleet as one dense array: servers × 5-minute steps × 14 metrics, gaps NaN."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.grid import CONTEXT_STEPS, HORIZON_STEPS, STEP_MINUTES
from storage.metrics import METRIC_NAMES
from storage.profiles import PROFILE_NAMES, profile_of

__all__ = ["WINDOW_STEPS", "History", "HistoryError", "load", "week_minute"]

WINDOW_STEPS = CONTEXT_STEPS + HORIZON_STEPS
_STEP_S = STEP_MINUTES * 60
_MONDAY_S = 4 * 86_400  # 1970-01-05, the first Monday of the epoch


class HistoryError(ValueError):
    """A history that cannot be read; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class History:
    """`values` [S, T, 14] from `start_s` (epoch seconds, a multiple of 300) in 5-minute steps.

    `anomalous` [S, T] marks steps that the data's authors labelled; it is never trained on.
    """

    servers: tuple[str, ...]
    profiles: NDArray[np.int64]  # [S], places in PROFILE_NAMES
    start_s: int
    values: NDArray[np.float32]  # [S, T, 14]
    anomalous: NDArray[np.bool_] | None = None

    @property
    def steps(self) -> int:
        """How many 5-minute steps the array is long."""
        return int(self.values.shape[1])

    @property
    def span(self) -> tuple[datetime, datetime]:
        """First step and the end of the last one, UTC."""
        end_s = self.start_s + self.steps * _STEP_S
        return datetime.fromtimestamp(self.start_s, UTC), datetime.fromtimestamp(end_s, UTC)

    def only(self, rows: Sequence[int] | NDArray[np.int64]) -> "History":
        """The history of some servers, by their place."""
        places = np.asarray(rows, np.int64)
        return replace(
            self,
            servers=tuple(self.servers[i] for i in places),
            profiles=self.profiles[places],
            values=self.values[places],
            anomalous=None if self.anomalous is None else self.anomalous[places],
        )

    def before(self, step: int) -> "History":
        """The history up to (not including) `step`; negative counts from the end."""
        marks = None if self.anomalous is None else self.anomalous[:, :step]
        return replace(self, values=self.values[:, :step], anomalous=marks)


def week_minute(start_s: int | NDArray[np.int64]) -> NDArray[np.float32]:
    """Minutes after Monday 00:00 UTC of epoch seconds: the calendar that the network is given."""
    seconds = (np.asarray(start_s, np.int64) - _MONDAY_S) % (7 * 86_400)
    return (seconds / 60).astype(np.float32)


def load(paths: Iterable[Path]) -> History:
    """Read Parquet files with `ts`, `server`, optionally `profile`, and any of the 14 metrics.

    Time stamps fall into their 5-minute step; of two rows in one step the later row counts.
    Raises HistoryError when a file lacks `ts` or `server`, or none has a metric.
    """
    table = pa.concat_tables([_read(path) for path in paths], promote_options="permissive")
    names = pc.unique(table["server"]).to_pylist()
    servers = tuple(sorted(names))
    place = {name: i for i, name in enumerate(servers)}
    rows = np.fromiter((place[s] for s in table["server"].to_pylist()), np.int64)
    seconds = table["ts"].cast(pa.timestamp("s"), safe=False).cast(pa.int64()).to_numpy()
    start_s = int(seconds.min()) // _STEP_S * _STEP_S
    steps = (seconds - start_s) // _STEP_S
    values = np.full((len(servers), int(steps.max()) + 1, len(METRIC_NAMES)), np.nan, np.float32)
    for column, name in enumerate(METRIC_NAMES):
        if name in table.column_names:
            values[rows, steps, column] = table[name].to_numpy()
    return History(servers, _profiles(servers, table, rows), start_s, values)


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise HistoryError(f"{path}: not a readable Parquet file ({error})") from error
    missing = {"ts", "server"} - set(table.column_names)
    if missing or not set(METRIC_NAMES) & set(table.column_names):
        found = ", ".join(table.column_names)
        raise HistoryError(
            f"{path}: a history needs the columns ts, server and at least one metric "
            f"({METRIC_NAMES[0]}, …); this file has {found}"
        )
    wanted = ("ts", "server", "profile", *METRIC_NAMES)
    table = table.select([name for name in wanted if name in table.column_names])
    return table.set_column(1, "server", table["server"].cast(pa.string()))


def _profiles(
    servers: Sequence[str], table: pa.Table, rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    stated: Mapping[str, str] = {}
    if "profile" in table.column_names:
        first = np.unique(rows, return_index=True)[1]
        said = table["profile"].take(pa.array(first)).to_pylist()
        stated = {name: kind for name, kind in zip(servers, said, strict=True) if kind}
    kinds = [profile_of(name, stated.get(name)) for name in servers]
    return np.array([PROFILE_NAMES.index(kind) for kind in kinds], np.int64)
