"""One forecast cycle in a process of its own.

`python -m scripts.tools.bench.forecast_cycle DATA NOW`

Prints, as JSON, the seconds of every part and the peak memory of the process.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from numpy.typing import NDArray

from scripts.python_process import module_command, module_environment
from storage.config.folders import Folders
from storage.inbox import segment
from storage.lake.writer import Writer
from storage.model.grid import CONTEXT_STEPS, STEP
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.schema import table

__all__ = ["lake_of"]

Floats = NDArray[np.float32]

POLL_S = 0.005
_TOGETHER = 12  # steps a segment: an hour


def lake_of(data: Path, servers: int, stop: datetime) -> None:
    """Make a lake in `data` with a day of roll-ups of every server before `stop`."""
    folders = Folders.at(data).create()
    random = np.random.default_rng(0)
    names = np.array([f"host{i:05d}" for i in range(servers)], dtype=object)
    level = random.uniform(5, 60, (servers, len(METRICS))).astype(np.float32)
    facts = {"server": names, "ts": [stop - CONTEXT_STEPS * STEP] * servers}
    with closing(Writer.open(data)) as writer:
        _put(folders, "server_facts", pa.table(facts), stop)
        for first in range(0, CONTEXT_STEPS, _TOGETHER):
            begin = stop - (CONTEXT_STEPS - first) * STEP
            _put(folders, "metrics_5m", _rollups(names, level, begin, random), stop)
            writer.commit_waiting(stop)


def _put(folders: Folders, name: str, rows: pa.Table, now: datetime) -> None:
    segment.write(folders, rows, segment.Provenance(table=name, function="bench", created_at=now))


def _rollups(
    names: NDArray[np.object_], level: Floats, begin: datetime, random: np.random.Generator
) -> pa.Table:
    """Return an hour of noisy daily waves, one row for each step and server."""
    seconds = int(begin.timestamp()) + np.arange(_TOGETHER) * int(STEP.total_seconds())
    day = 2 * np.pi * seconds / 86_400
    wave = 8 * np.sin(day)[:, None, None] + random.normal(0, 2, (_TOGETHER, *level.shape))
    values = np.clip(level + wave, 0, 100).astype(np.float32)  # [steps, servers, 14]
    count = _TOGETHER * len(names)
    columns = {
        "server": np.tile(names, _TOGETHER),
        "ts": pa.array(np.repeat(seconds, len(names)) * 1_000_000, pa.timestamp("us", "UTC")),
    }
    for i, name in enumerate(METRIC_NAMES):
        flat = values[..., i].reshape(-1)
        columns |= {
            f"{name}_mean": flat, f"{name}_max": flat + 1,
            f"{name}_count": np.full(count, 60, np.int16),
        }  # fmt: skip
    return pa.table(columns, schema=table("metrics_5m").arrow)


def main(data: Path, now: datetime) -> dict[str, float]:
    """Run the forecast function once as of `now`, while the writer's own process commits."""
    from functions.engine.executors.executor import CostMeter
    from functions.engine.runner import Runner
    from functions.forecast import forecast
    from storage.config.settings import read_settings

    runner = Runner(Folders.at(data), read_settings(data))
    with _writer(data) as writer:
        writer_cpu_s = sum(writer.cpu_times()[:2])
        began, cpu_began = time.perf_counter(), time.process_time()
        rows, more = 0, True
        while more:
            run = runner.run(forecast, "bench", now)
            if run.outcome != "ok":
                raise RuntimeError(f"the forecast ended as {run.outcome}: {run.error}")
            rows, more = rows + run.batch.row_count, run.batch.more
        ran, cpu_ran = time.perf_counter(), time.process_time()
        while any(runner.folders.inbox.glob("*.parquet")):
            time.sleep(POLL_S)
        committed = time.perf_counter()
        writer_cpu_s = sum(writer.cpu_times()[:2]) - writer_cpu_s
    return {
        "whole_s": committed - began,
        "function_s": ran - began,
        "cpu_s": cpu_ran - cpu_began + writer_cpu_s,
        "rss_mb": CostMeter().cost().peak_rss_mb,
        "rows": rows,
    }


@contextmanager
def _writer(data: Path) -> Iterator[psutil.Process]:
    """Run the writer as a process, once it has opened the lake."""
    command = module_command("storage", "--data", data, "--log-format", "json")
    with subprocess.Popen(
        command, env=module_environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        # Its first record says that it has opened the lake.
        while '"logger":"storage.__main__"' not in (line := process.stderr.readline()):
            if not line:
                raise RuntimeError("the writer has ended: run 'python -m storage' to see why")
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]))))
