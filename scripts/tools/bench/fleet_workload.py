"""Workload of a simulated fleet: samples, roll-ups and forecasts from a seed."""

from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from functions.simulator.simulated_fleet import make_fleet
from functions.simulator.simulated_series import simulate
from storage.model.grid import HORIZON_STEPS, QUANTILE_COLUMNS, QUANTILES
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table

__all__ = ["STEP_S", "forecasts", "plain_duckdb", "rolled_samples", "samples"]

STEP_S = 5
SEED = 3


def samples(servers: int, start: datetime, steps: int, step_s: int = STEP_S) -> pa.Table:
    """Return `steps` samples of each server from `start` on, sorted by time."""
    first = int(start.timestamp())
    seconds = np.arange(first, first + steps * step_s, step_s, dtype=np.int64)
    fleet = make_fleet(servers, SEED)
    values = simulate(fleet, seconds, [], SEED)  # [servers, steps, metrics]
    flat = values.transpose(2, 1, 0).reshape(len(METRIC_NAMES), -1)
    columns = {
        "server": np.tile(np.array([s.name for s in fleet], dtype=object), len(seconds)),
        "ts": pa.array(np.repeat(seconds, servers) * 1_000_000, pa.timestamp("us", "UTC")),
        **dict(zip(METRIC_NAMES, flat, strict=True)),
        "source": ["bench"] * flat.shape[1],
    }
    return pa.table(columns, schema=table("metrics").arrow)


def rolled_samples(servers: int, start: datetime) -> pa.Table:
    """Return a day of roll-ups; the maxima are 10 % above the means."""
    rows = samples(servers, start, 288, step_s=300)
    columns = {"server": rows["server"], "ts": rows["ts"]}
    for name in METRIC_NAMES:
        columns |= {
            f"{name}_mean": rows[name],
            f"{name}_max": pc.multiply(rows[name], pa.scalar(1.1, pa.float32())),
            f"{name}_count": pa.array(np.full(rows.num_rows, 60, np.int16)),
        }
    return pa.table(columns, schema=table("metrics_5m").arrow)


def forecasts(servers: int, issued_at: datetime) -> pa.Table:
    """Return a forecast of each server and metric: quantiles around its own future samples."""
    rows = samples(servers, issued_at, HORIZON_STEPS, step_s=300)
    spread = np.random.default_rng(SEED).gamma(2.0, 0.05, (servers, HORIZON_STEPS))
    names = rows["server"].to_pylist()[:servers]
    columns: dict[str, list[object]] = {name: [] for name in ("server", "metric")}
    quantiles: dict[str, list[np.ndarray]] = {name: [] for name in QUANTILE_COLUMNS}
    for metric in METRIC_NAMES:
        future = rows[metric].to_numpy().reshape(HORIZON_STEPS, servers).T  # [servers, steps]
        columns["server"] += names
        columns["metric"] += [metric] * servers
        for name, q in zip(QUANTILE_COLUMNS, QUANTILES, strict=True):
            quantiles[name] += list((future * (1 + spread * (2 * q - 1))).astype(np.float32))
    count = servers * len(METRIC_NAMES)
    provenance = {
        "issued_at": [issued_at] * count, "made_at": [issued_at] * count,
        "model": ["bench"] * count, "state": ["ok"] * count, "why": [None] * count,
        "context_steps": [288] * count,
    }  # fmt: skip
    schema, given = table("forecasts").arrow, columns | provenance | quantiles
    missing = {f.name: pa.nulls(count, f.type) for f in schema if f.name not in given}
    return pa.table(given | missing, schema=schema)


def plain_duckdb(path: Path, rows: pa.Table, name: str) -> duckdb.DuckDBPyConnection:
    """Load rows into a plain DuckDB file, with which the lake is compared."""
    connection = duckdb.connect(str(path))
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("incoming", rows)
    connection.execute(f"CREATE OR REPLACE TABLE {name} AS FROM incoming ORDER BY ALL")
    connection.unregister("incoming")
    connection.execute("CHECKPOINT")
    return connection
