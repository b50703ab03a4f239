"""Cost of scoring: CPU of one hour of targets, by the size of the fleet.

`python -m scripts.tools.bench.score_cycle [--servers 100]`

Makes a lake with 9 h of forecasts every 5 minutes, scores its hours, and prints as JSON the seconds
of CPU for the newest one, the same for a 5-minute step and 1,000 servers, and its rows; once with a
file for each issue, as it is just after the commits, and once with merged files.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from functions.engine.executors.executor import CostMeter
from functions.engine.runner import Runner
from functions.score import score
from scripts.tools.bench.forecast_cycle import lake_of
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.inbox import segment
from storage.lake.writer import Writer
from storage.model.grid import HORIZON_STEPS, QUANTILE_COLUMNS, STEP
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table
from storage.model.served import Recipe

__all__ = ["measure"]

END = datetime(2026, 5, 6, 12, 0, tzinfo=UTC)
ISSUES = 12 + HORIZON_STEPS


def measure(data: Path, servers: int, merged: bool) -> Mapping[str, float]:
    """Make a lake in `data`, score the hour before END, and return what that took."""
    lake_of(data, servers, END)
    folders = Folders.at(data)
    random = np.random.default_rng(1)
    with closing(Writer.open(data)) as writer:
        for i in range(1, ISSUES + 1):
            issued = END - i * STEP
            rows = _forecasts(servers, issued, random)
            source = segment.Provenance(table="forecasts", function="bench", created_at=issued)
            segment.write(folders, rows, source)
            writer.commit_waiting(END)
        if merged:
            writer.merge("forecasts")
        runner = Runner(folders, read_settings(data))
        runner.run_whole(score, "bench", END - timedelta(minutes=30))  # the hours before
        writer.commit_waiting(END)
        cpu, wall = time.process_time(), time.perf_counter()
        run = runner.run_whole(score, "bench", END + timedelta(minutes=3))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if run.error is not None:
        raise RuntimeError(f"the scores ended as {run.outcome}: {run.error}")
    return {
        "servers": servers, "merged": merged, "cpu_s": cpu, "wall_s": wall,
        "cpu_s_per_step_and_1000_servers": cpu / 12 * 1000 / servers,
        "rss_mb": CostMeter().cost().peak_rss_mb, "rows": run.batch.row_count,
    }  # fmt: skip


def _forecasts(servers: int, issued_at: datetime, random: np.random.Generator) -> pa.Table:
    """Return one issue of forecasts, with calibration and all the naive forecasts in it."""
    count, schema = servers * len(METRIC_NAMES), table("forecasts").arrow
    names = np.array([f"host{i:05d}" for i in range(servers)], dtype=object)
    median = random.uniform(5, 60, (count, 1)) + random.normal(0, 1, (count, HORIZON_STEPS))
    columns: dict[str, Any] = {
        "server": np.repeat(names, len(METRIC_NAMES)),
        "metric": np.tile(np.array(METRIC_NAMES, dtype=object), servers),
        "issued_at": pa.repeat(pa.scalar(issued_at, schema.field("issued_at").type), count),
        "made_at": pa.repeat(pa.scalar(issued_at, schema.field("made_at").type), count),
        "model": np.full(count, "m1", dtype=object),
        "state": np.full(count, "ok", dtype=object),
    }
    for i, name in enumerate(QUANTILE_COLUMNS):
        columns[name] = _lists(median + 2 * (i - 3))
    for name, size in Recipe.sizes().items():
        columns[name] = _lists(random.uniform(0.2, 1, (count, size)))
    missing = {f.name: pa.nulls(count, f.type) for f in schema if f.name not in columns}
    whole = columns | missing
    return pa.table({name: whole[name] for name in schema.names}, schema=schema)


def _lists(values: np.ndarray[Any, Any]) -> pa.Array:
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1), pa.float32()))


def main() -> None:
    """Measure the fleet size that the command line names, before and after a merge of files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=100)
    servers = parser.parse_args().servers
    for merged in (False, True):
        folder = Path(tempfile.mkdtemp(prefix="score-bench-"))
        try:
            print(json.dumps(measure(folder, servers, merged)))
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
