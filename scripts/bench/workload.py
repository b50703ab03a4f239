"""A fleet's samples, seeded, in any amount, and the places they are put into."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from functions.simulation.fleet import make_fleet
from functions.simulation.series import simulate
from storage.metrics import METRIC_NAMES
from storage.schema import table

__all__ = ["STEP_S", "batches", "native", "samples"]

STEP_S = 5
SEED = 3


def samples(servers: int, start: datetime, steps: int, step_s: int = STEP_S) -> pa.Table:
    """`steps` samples of each server from `start` on, sorted by time."""
    first = int(start.timestamp())
    moments = np.arange(first, first + steps * step_s, step_s, dtype=np.int64)
    fleet = make_fleet(servers, SEED)
    values = simulate(fleet, moments, [], SEED)  # [servers, moments, metrics]
    flat = values.transpose(2, 1, 0).reshape(len(METRIC_NAMES), -1)
    columns = {
        "server": np.tile(np.array([s.name for s in fleet], dtype=object), len(moments)),
        "ts": pa.array(np.repeat(moments, servers) * 1_000_000, pa.timestamp("us", "UTC")),
        **dict(zip(METRIC_NAMES, flat, strict=True)),
        "source": ["bench"] * flat.shape[1],
    }
    return pa.table(columns, schema=table("metrics").arrow)


def batches(
    servers: int, start: datetime, span: timedelta, batch: timedelta
) -> Iterator[tuple[datetime, pa.Table]]:
    """The samples of `span`, one table a `batch`, and the time at which each would be sent."""
    steps = int(batch.total_seconds() // STEP_S)
    for i in range(int(span / batch)):
        begin = start + i * batch
        yield begin + batch, samples(servers, begin, steps)


def native(path: Path, rows: pa.Table, name: str) -> duckdb.DuckDBPyConnection:
    """The same rows in a plain DuckDB file: what the lake's overhead is held against."""
    connection = duckdb.connect(str(path))
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("incoming", rows)
    connection.execute(f"CREATE OR REPLACE TABLE {name} AS FROM incoming ORDER BY ALL")
    connection.unregister("incoming")
    connection.execute("CHECKPOINT")
    return connection
