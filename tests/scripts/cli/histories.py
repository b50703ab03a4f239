"""Histories to backtest on, and files of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.model.metrics import METRIC_NAMES
from storage.query.history import History
from tests.storage.small_fleets import MONDAY_S, fleet

__all__ = ["MEMORY", "MONDAY", "random_walk", "walk_file", "waves"]

MONDAY = datetime.fromtimestamp(MONDAY_S, UTC)
MEMORY = METRIC_NAMES.index("mem_used_pct")


def waves(path: Path, days: float = 2.5, servers: int = 2) -> Path:
    """A file with the memory of some servers: a daily wave and noise, every 5 minutes."""
    history = fleet(servers, days=3).last(10**6)
    steps = int(days * 288)
    rows = {
        "ts": [MONDAY + timedelta(minutes=5 * i) for i in range(steps)] * servers,
        "server": np.repeat(history.servers, steps),
        "mem_used_pct": history.values[:, :steps, MEMORY].reshape(-1),
        "colour": ["red"] * steps * servers,
    }
    pq.write_table(pa.table(rows), path)
    return path


def random_walk(steps: int = 1152, seed: int = 3) -> History:
    """A server whose memory goes nowhere and never the same way: the last value is hard to beat."""
    history = fleet(1, days=4)
    values = np.full_like(history.values, np.nan)
    stairs = np.repeat(np.random.default_rng(seed).uniform(5, 95, steps // 288), 288)
    values[0, :, MEMORY] = stairs
    return History(history.servers, history.profiles, history.start_s, values)


def walk_file(path: Path) -> Path:
    """A file with the memory of a random walk."""
    history = random_walk()
    rows = {
        "ts": [MONDAY + timedelta(minutes=5 * i) for i in range(history.steps)],
        "server": ["a"] * history.steps,
        "mem_used_pct": history.values[0, :, MEMORY],
    }
    pq.write_table(pa.table(rows), path)
    return path
