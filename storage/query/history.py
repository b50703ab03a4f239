"""History of a fleet as one dense array: servers × 5-minute steps × 14 metrics, gaps NaN."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, STEP, STEP_MINUTES
from storage.model.metrics import METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES, profile_of
from storage.query import windows
from storage.query.history_files import HistoryError, Samples, read_samples
from storage.query.reader import Reader

__all__ = [
    "WINDOW_STEPS",
    "History",
    "HistoryError",
    "LoadedHistory",
    "from_lake",
    "load",
    "read",
    "week_minute",
]

WINDOW_STEPS = CONTEXT_STEPS + HORIZON_STEPS
_STEP_S = STEP_MINUTES * 60
_MONDAY_S = 4 * 86_400  # 1970-01-05, the first Monday of the epoch
_MAX_BYTES = 4_000_000_000  # of one array; a single wrong year would exceed it


@dataclass(frozen=True, slots=True)
class History:
    """`values` [S, T, 14] from `start_s` (epoch seconds, a multiple of 300) in 5-minute steps.

    `anomalous` [S, T] marks steps that the data's authors labelled; training leaves them out.
    """

    servers: tuple[str, ...]
    profiles: NDArray[np.int64]  # [S], indices into PROFILE_NAMES
    start_s: int
    values: NDArray[np.float32]  # [S, T, 14]
    anomalous: NDArray[np.bool_] | None = None

    @property
    def steps(self) -> int:
        """Number of 5-minute steps."""
        return int(self.values.shape[1])

    @property
    def span(self) -> tuple[datetime, datetime]:
        """Start of the first step and end of the last, UTC."""
        end_s = self.start_s + self.steps * _STEP_S
        return datetime.fromtimestamp(self.start_s, UTC), datetime.fromtimestamp(end_s, UTC)

    def only(self, rows: Sequence[int] | NDArray[np.int64]) -> "History":
        """The history of some servers, by their index."""
        places = np.asarray(rows, np.int64)
        return replace(
            self,
            servers=tuple(self.servers[i] for i in places),
            profiles=self.profiles[places],
            values=self.values[places],
            anomalous=None if self.anomalous is None else self.anomalous[places],
        )

    def last(self, steps: int) -> "History":
        """The last `steps` steps, or all if there are fewer."""
        left_out = max(self.steps - steps, 0)
        marks = None if self.anomalous is None else self.anomalous[:, left_out:]
        start_s = self.start_s + left_out * _STEP_S
        return replace(self, start_s=start_s, values=self.values[:, left_out:], anomalous=marks)

    def before(self, step: int) -> "History":
        """The history up to (not including) `step`; negative counts from the end."""
        marks = None if self.anomalous is None else self.anomalous[:, :step]
        return replace(self, values=self.values[:, :step], anomalous=marks)


def week_minute(start_s: int | NDArray[np.int64]) -> NDArray[np.float32]:
    """Minutes after Monday 00:00 UTC of epoch seconds: the calendar input of the network."""
    seconds = (np.asarray(start_s, np.int64) - _MONDAY_S) % (7 * 86_400)
    return (seconds / 60).astype(np.float32)


@dataclass(frozen=True, slots=True)
class LoadedHistory:
    """A history from files, and what was left out of it."""

    history: History
    ignored: tuple[str, ...]  # unknown columns
    refused: int  # rows and values
    reasons: tuple[str, ...]


def load(paths: Iterable[Path]) -> History:
    """The history in files; `read` also returns what was left out."""
    return read(paths).history


def read(paths: Iterable[Path]) -> LoadedHistory:
    """Read Parquet or CSV files: `ts`, `server`, optionally `profile`, any of the 14 metrics.

    Samples of any cadence become means of 5-minute steps. Raises HistoryError if no sample is
    valid, or if a file cannot be read or lacks a required column.
    """
    samples = read_samples(paths)
    servers, rows = np.unique(samples.servers, return_inverse=True)
    first_s, last_s = int(samples.seconds.min()), int(samples.seconds.max())
    start_s = first_s // _STEP_S * _STEP_S
    steps = (last_s - start_s) // _STEP_S + 1
    if len(servers) * steps * len(METRIC_NAMES) * 4 > _MAX_BYTES:
        raise HistoryError(
            f"{len(servers)} servers from {_utc_text(first_s)} to {_utc_text(last_s)} exceed "
            "the limit of 4 GB for one history: check the times, or give fewer days or servers"
        )
    cells = rows * steps + (samples.seconds - start_s) // _STEP_S
    values = np.stack([_means(cells, v, len(servers) * steps) for v in samples.values.T], -1)
    names = tuple(str(server) for server in servers)
    history = History(
        names,
        _profiles(names, samples),
        start_s,
        values.reshape(len(servers), steps, len(METRIC_NAMES)),
    )
    return LoadedHistory(history, samples.ignored, samples.refused, samples.reasons)


def from_lake(reader: Reader, steps: int) -> History:
    """The last `steps` steps of every server of a lake; raises HistoryError if it has none yet."""
    span = reader.query("SELECT min(ts) AS first, max(ts) AS last FROM metrics_5m").to_pylist()[0]
    if span["first"] is None:
        raise HistoryError(
            "the lake has no complete 5-minute step yet: let the system run, or name files"
        )
    available = (span["last"] - span["first"]) // STEP + 1
    contexts = windows.contexts(reader, span["last"] + STEP, min(steps, available))
    profiles = np.array(
        [
            PROFILE_NAMES.index(profile_of(s, p))
            for s, p in zip(contexts.servers, contexts.profiles, strict=True)
        ],
        np.int64,
    )
    return History(contexts.servers, profiles, int(contexts.start.timestamp()), contexts.values)


def _means(cells: NDArray[np.int64], values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Mean of the values in each cell [size]; NaN for an empty cell."""
    known = ~np.isnan(values)
    sums = np.bincount(cells[known], values[known], size)
    counts = np.bincount(cells[known], minlength=size)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)


def _profiles(servers: Sequence[str], samples: Samples) -> NDArray[np.int64]:
    stated: Mapping[str, str] = dict(zip(*samples.profiles, strict=True))
    kinds = [profile_of(name, stated.get(name)) for name in servers]
    return np.array([PROFILE_NAMES.index(kind) for kind in kinds], np.int64)


def _utc_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="minutes")[:16]
