"""Public server datasets as histories of our 14 metrics.

Each dataset is a Parquet file: `server`, `ts`, `anomaly` (1 where its authors labelled one), and
columns `m00`, `m01`, … Columns with a known meaning become the metric that they are. The others
are shapes without a name: put in the place of any metric but the uptime, they teach a model how
series of servers move.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.profiles import PROFILE_NAMES
from storage.query.history import History

__all__ = ["DATASETS", "Dataset", "as_named", "as_shapes", "read_set", "split"]

_STEP_S = 300
_SLOTS = tuple(i for i, m in enumerate(METRICS) if m.name != "uptime_days")
_TOP = 80.0  # a shape's 99.5th percentile in a percentage's place: room above it to rise


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset; `named` says which columns are metrics: `metric: (column, factor, offset)`."""

    name: str
    licence: str
    named: Mapping[str, tuple[str, float, float]]


DATASETS: tuple[Dataset, ...] = (
    Dataset(
        "smd",
        "Server Machine Dataset, MIT, © 2021 NetManAIOps-SMD; © 2022 Tuan Anh Pham; © 2021 zhhlee",
        {
            "cpu_idle_pct": ("m00", -100.0, 100.0),
            "mem_used_pct": ("m05", 100.0, 0.0),
            "load_average": ("m01", 40.0, 0.0),
            "net_in_mb_s": ("m18", 100.0, 0.0),
            "net_out_mb_s": ("m19", 100.0, 0.0),
            "back_close_wait": ("m22", 200.0, 0.0),
            "front_close_wait": ("m25", 200.0, 0.0),
            "cpu_iowait_pct": ("m14", 100.0, 0.0),
        },
    ),
    Dataset("asd", "Application Server Dataset (InterFusion), MIT, © 2021 zhhlee", {}),
    Dataset(
        "jumpstarter",
        "JumpStarter, MIT, © 2021 NetManAIOps",
        {
            "cpu_idle_pct": ("m06", 1.0, 0.0),
            "cpu_user_pct": ("m17", 1.0, 0.0),
            "cpu_sys_pct": ("m16", 1.0, 0.0),
            "cpu_iowait_pct": ("m04", 1.0, 0.0),
            "net_in_mb_s": ("m10", 1e-6, 0.0),
            "net_out_mb_s": ("m15", 1e-6, 0.0),
        },
    ),
)


@dataclass(frozen=True, slots=True)
class DatasetColumns:
    """The columns of a file: `values` [S, T, C] of columns `names`, NaN where a row is missing."""

    servers: tuple[str, ...]
    names: tuple[str, ...]
    start_s: int
    values: NDArray[np.float32]
    anomalous: NDArray[np.bool_]

    def only(self, rows: Sequence[int]) -> "DatasetColumns":
        """Return the servers at these places."""
        places = np.asarray(rows, np.int64)
        servers = tuple(self.servers[i] for i in places)
        return DatasetColumns(
            servers, self.names, self.start_s, self.values[places], self.anomalous[places]
        )


def read_set(folder: Path, name: str) -> DatasetColumns:
    """Read `folder`/`name`.parquet, with all servers aligned at their last steps.

    Servers differ by a few steps in length. Aligned ends let one cut hold out the same last days.
    """
    table = pq.read_table(folder / f"{name}.parquet")
    names = tuple(c for c in table.column_names if c[0] == "m" and c[1:].isdigit())
    hosts = np.array(table["server"].to_pylist())
    seconds = table["ts"].cast(pa.timestamp("s")).cast(pa.int64()).to_numpy()
    servers, rows = np.unique(hosts, return_inverse=True)
    last = np.zeros(len(servers), np.int64)
    np.maximum.at(last, rows, seconds)
    start_s = int(seconds.min())
    longest = int((last.max() - start_s) // _STEP_S) + 1
    steps = longest - 1 - (last[rows] - seconds) // _STEP_S
    values = np.full((len(servers), longest, len(names)), np.nan, np.float32)
    values[rows, steps] = np.stack([table[c].to_numpy() for c in names], 1)
    anomalous = np.zeros(values.shape[:2], np.bool_)
    anomalous[rows, steps] = table["anomaly"].to_numpy() > 0
    return DatasetColumns(tuple(str(s) for s in servers), names, start_s, values, anomalous)


def split(columns: DatasetColumns) -> tuple[DatasetColumns, DatasetColumns]:
    """Return the servers to learn from, and those to hold out: every fourth, from the third on."""
    places = range(len(columns.servers))
    held_out = [i for i in places if i % 4 == 2]
    return columns.only([i for i in places if i % 4 != 2]), columns.only(held_out)


def as_named(columns: DatasetColumns, dataset: Dataset) -> History:
    """Return the columns with a known meaning as the metrics they are; the rest is NaN."""
    values = np.full((*columns.values.shape[:2], len(METRICS)), np.nan, np.float32)
    for metric, (column, factor, offset) in dataset.named.items():
        raw = columns.values[..., columns.names.index(column)]
        slot = METRIC_NAMES.index(metric)
        values[..., slot] = _valid(raw * factor + offset, slot)
    return _history(columns, values, "")


def as_shapes(columns: DatasetColumns, random: np.random.Generator | None = None) -> list[History]:
    """Return all columns that vary, 13 in each history, in the places of the metrics.

    With `random` they are shuffled, and half of them get a random exponent, which changes the size
    of small movements relative to large ones.
    """
    order, exponents = np.arange(len(columns.names)), np.ones(len(columns.names))
    if random is not None:
        order = random.permutation(order)
        exponents = np.exp(random.normal(0, 0.5, len(order)) * (random.random(len(order)) < 0.5))
    groups = [order[i : i + len(_SLOTS)] for i in range(0, len(order), len(_SLOTS))]
    return [_shapes(columns, group, exponents, f"~{i}") for i, group in enumerate(groups)]


def _shapes(
    columns: DatasetColumns, group: NDArray[np.int64], exponents: NDArray[np.float64], suffix: str
) -> History:
    values = np.full((*columns.values.shape[:2], len(METRICS)), np.nan, np.float32)
    for slot, column in zip(_SLOTS, group, strict=False):
        raw = columns.values[..., column]
        top = np.nanquantile(np.abs(raw), 0.995, axis=1, keepdims=True)
        top = np.where(top > 0, top, np.nanmax(np.abs(raw), axis=1, keepdims=True))
        shape = raw / np.where(top > 0, top, 1)
        shape = np.sign(shape) * np.abs(shape) ** exponents[column] * _TOP
        still = np.nanmax(raw, axis=1) == np.nanmin(raw, axis=1)
        shape[still] = np.nan  # a constant column teaches nothing
        values[..., slot] = _valid(shape, slot)
    return _history(columns, values, suffix)


def _valid(values: NDArray[np.floating[Any]], slot: int) -> NDArray[np.float32]:
    highest = METRICS[slot].highest
    return np.asarray(np.clip(values, METRICS[slot].lowest, highest), np.float32)


def _history(columns: DatasetColumns, values: NDArray[np.float32], suffix: str) -> History:
    generic = np.full(len(columns.servers), PROFILE_NAMES.index("generic"), np.int64)
    servers = tuple(name + suffix for name in columns.servers)
    return History(servers, generic, columns.start_s, values, columns.anomalous)
