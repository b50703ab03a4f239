"""Benchmark of the store: `python -m scripts.tools.bench store`."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import click
import duckdb
import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from scripts.ports import free_port
from scripts.python_process import module_command, module_environment
from scripts.tools.bench.fleet_workload import (
    STEP_S,
    forecasts,
    plain_duckdb,
    rolled_samples,
    samples,
)
from scripts.tools.bench.measure import Figure, interleaved, median, quantile, stopwatch
from storage.config.folders import Folders
from storage.config.settings import (
    HostSettings,
    Settings,
    SourceSettings,
    WebSettings,
    write_settings,
)
from storage.inbox import segment
from storage.lake.writer import Writer
from storage.model.grid import HORIZON_STEPS, QUANTILES, STEP, floor_step
from storage.model.metrics import METRIC_NAMES
from storage.query.reader import Reader
from storage.query.windows import contexts, rollup

__all__ = ["figures"]

ROUNDS = 30
BATCH = timedelta(minutes=15)  # what one bulk segment holds
RAW_VALUES = len(METRIC_NAMES)
TEXTS = ["server", "source"]
AS_SEGMENTS = {"compression": "lz4", "write_statistics": False, "use_dictionary": TEXTS}

RAW_DAY = "SELECT * FROM metrics WHERE server = 'ppdb001' ORDER BY ts"
HOURLY = """
SELECT server, date_trunc('hour', ts) AS hour, max(cpu_user_pct) AS worst
FROM metrics WHERE ts >= $since GROUP BY ALL
"""
HOURLY_ROLLED = """
SELECT server, date_trunc('hour', ts) AS hour, max(cpu_user_pct_max) AS worst
FROM metrics_5m WHERE ts >= $since GROUP BY ALL
"""
# Name, module and arguments, and the most memory [MB].
PROCESSES = (
    ("writer", ("storage",), 300),
    ("collector", ("functions", "collector"), 150),
    ("web", ("web",), 300),
)
SETTLE_S = 15.0

LAST = """
SELECT server, max(ts) AS ts, arg_max(mem_used_pct, ts) AS mem FROM metrics {where} GROUP BY server
"""


def figures(servers: int, hours: float) -> Iterator[Figure]:
    """Measure on a new lake of `servers` × `hours` at 5 s."""
    folder = Path(tempfile.mkdtemp(prefix="hoursight-bench-"))
    try:
        bench = Bench(folder, servers, hours)
        yield from bench.appends()
        yield from bench.bulk()
        yield from bench.maintenance()
        yield from bench.sizes()
        yield from bench.queries()
        yield from bench.late()
        yield from bench.forecasts()
        yield from bench.month()
        yield from bench.completions()
        bench.close()
        yield from visibility(folder / "beside", servers)
        yield from memory(folder / "var")
    finally:
        shutil.rmtree(folder)


class Bench:
    """A lake, its writer, and the same rows in a plain DuckDB file."""

    def __init__(self, folder: Path, servers: int, hours: float) -> None:
        self.folders = Folders.at(folder / "var").create()
        self.folder, self.servers, self.hours = folder, servers, hours
        self.writer = Writer.open(self.folders.data)
        self.reader = Reader.open(self.folders.data)
        self.stop = floor_step(datetime.now(UTC))
        self.start = self.stop - timedelta(hours=hours)
        self.cursor = self.start - timedelta(days=1)

    def close(self) -> None:
        """Close reader and writer."""
        self.reader.close()
        self.writer.close()

    def put(self, rows: pa.Table, name: str, now: datetime) -> Path:
        """Write one segment into the inbox."""
        provenance = segment.Provenance(table=name, function="bench", created_at=now)
        return segment.write(self.folders, rows, provenance)

    def appends(self) -> Iterator[Figure]:
        """Measure a durable segment of one sample a server, beside bare Parquet and fsync."""
        rows = samples(self.servers, self.start, 1)
        bare = self.folder / "bare.parquet"

        def ours() -> None:
            self.put(rows, "metrics", self.stop).unlink()

        mine, limit = interleaved(ours, lambda: _bare(rows, bare, **AS_SEGMENTS), 5 * ROUNDS)
        yield Figure(
            f"durable append of {self.servers} rows, p50", median(mine), "ms", 1.2,
            "bare Parquet + fsync", median(limit), "ratio",
        )  # fmt: skip

    def bulk(self) -> Iterator[Figure]:
        """Measure history through segment and writer, beside pyarrow alone with the same rows."""
        ours_s = limit_s = best_s = 0.0
        count, ts = 0, self.start
        with click.progressbar(length=int(self.hours * 4), label="bulk") as bar:
            while ts < self.stop:
                rows = samples(self.servers, ts, int(BATCH.total_seconds() // STEP_S))
                ts += BATCH
                with stopwatch() as elapsed:
                    self.put(rows, "metrics", ts)
                    self.writer.commit_waiting(ts)
                    ours_s += elapsed() / 1000
                with stopwatch() as elapsed:
                    _bare(rows, self.folder / "bare.parquet")
                    limit_s += elapsed() / 1000
                with stopwatch() as elapsed:
                    _bare(rows, self.folder / "bare.parquet", use_dictionary=TEXTS)
                    best_s += elapsed() / 1000
                count += rows.num_rows
                bar.update(1)
        yield Figure(
            "bulk ingest, committed and fsynced", count / ours_s / 1e6, "M rows/s", 0.6,
            "bare pyarrow, defaults", count / limit_s / 1e6, "ratio", at_least=True,
        )  # fmt: skip
        yield Figure(
            "the same beside pyarrow at its best", count / ours_s / 1e6, "M rows/s", 0.6,
            "no dictionaries of floats", count / best_s / 1e6, "ratio", at_least=True,
        )  # fmt: skip

    def maintenance(self) -> Iterator[Figure]:
        """Measure the CPU of commit, roll-up and maintenance for samples every 5 s."""
        rolled, self.cursor = rollup(self.reader, self.cursor, self.stop)
        self.put(rolled, "metrics_5m", self.stop)
        self.writer.commit_waiting(self.stop)
        self.writer.run_maintenance(self.stop)
        minutes, commits = 5, []
        rows = [
            samples(self.servers, self.stop + i * timedelta(seconds=STEP_S), 1) for i in range(60)
        ]
        began = time.process_time()
        for i, instant in enumerate(rows):
            now = self.stop + (i + 1) * timedelta(seconds=STEP_S)
            self.put(instant, "metrics", now)
            with stopwatch() as elapsed:
                self.writer.commit_waiting(now)
                commits.append(elapsed())
        after = self.stop + timedelta(minutes=minutes)
        rolled, self.cursor = rollup(self.reader, self.cursor, after)
        self.put(rolled, "metrics_5m", after)
        self.writer.commit_waiting(after)
        self.writer.run_maintenance(after)
        used = time.process_time() - began
        yield Figure("commit of one batch, p50", median(commits), "ms", 20)
        yield Figure(
            "CPU for append, commit, roll-up, merge",
            100 * used / (minutes * 60),
            "% of a core",
            0.6,
        )
        self.stop = after

    def sizes(self) -> Iterator[Figure]:
        """Measure the bytes of a value on disk."""
        raw = self.reader.query("SELECT count(*) AS n FROM metrics")["n"][0].as_py()
        rolled = self.reader.query("SELECT count(*) AS n FROM metrics_5m")["n"][0].as_py()
        yield Figure(
            "bytes per raw value", self._live_bytes("metrics") / (raw * RAW_VALUES), "B", 0.85
        )
        values = rolled * RAW_VALUES * 3
        yield Figure("bytes per roll-up value", self._live_bytes("metrics_5m") / values, "B", 1.5)

    def _live_bytes(self, name: str) -> int:
        rows = self.reader.query(
            "SELECT sum(data_file_size_bytes) AS size FROM ducklake_list_files('lake', $name)",
            name=name,
        )
        return int(rows["size"][0].as_py())

    def queries(self) -> Iterator[Figure]:
        """Measure queries of pages and functions, beside the same rows in a plain DuckDB file."""
        plain = plain_duckdb(
            self.folder / "native.duckdb", self.reader.query("FROM metrics"), "metrics"
        )
        rolled = plain_duckdb(
            self.folder / "rolled.duckdb", self.reader.query("FROM metrics_5m"), "metrics_5m"
        )
        since = self.stop - timedelta(hours=min(12, self.hours))
        recent = "WHERE ts > $since"
        newest = {"since": self.stop - timedelta(minutes=10)}
        ours, others = interleaved(
            lambda: self.reader.latest(newest["since"], self.stop),
            lambda: plain.execute(LAST.format(where=recent), newest).to_arrow_table(),
            ROUNDS,
        )
        yield Figure(
            "last sample of each server", median(ours), "ms", 5, "native DuckDB", median(others)
        )
        yield self._query("one server, raw", RAW_DAY, plain, 20)
        yield self._query(
            "max CPU an hour and host, raw", HOURLY, plain, 1.1, {"since": since}, "ratio"
        )
        yield self._query(
            "max CPU an hour and host, rolled up",
            HOURLY_ROLLED,
            rolled,
            1.1,
            {"since": since},
            "ratio",
        )
        window, _ = interleaved(lambda: contexts(self.reader, self.stop), lambda: None, ROUNDS)
        yield Figure(f"window {self.servers} × 288 × 14", median(window), "ms", 60)
        plain.close()
        rolled.close()

    def _query(
        self,
        name: str,
        sql: str,
        peer: duckdb.DuckDBPyConnection,
        goal: float,
        parameters: dict[str, datetime] | None = None,
        bounded: str = "value",
    ) -> Figure:
        mine, others = interleaved(
            lambda: self.reader.query(sql, **(parameters or {})),
            lambda: peer.execute(sql, parameters).to_arrow_table(),
            ROUNDS,
        )
        return Figure(name, median(mine), "ms", goal, "native DuckDB", median(others), bounded)

    def late(self) -> Iterator[Figure]:
        """Measure two steps of late samples for every server: commit and new roll-up."""
        late_from = self.stop - timedelta(minutes=30)
        rows = samples(self.servers, late_from + timedelta(seconds=2), 2, step_s=300)
        with stopwatch() as elapsed:
            self.put(rows, "metrics", self.stop)
            self.writer.commit_waiting(self.stop + STEP)
            rolled, _ = rollup(self.reader, self.cursor, self.stop)
            self.put(rolled, "metrics_5m", self.stop)
            self.writer.commit_waiting(self.stop + STEP)
            yield Figure(f"late data, 2 steps × {self.servers}", elapsed(), "ms", 200)

    def completions(self) -> Iterator[Figure]:
        """Measure commits whose rows are in the lake with half of their values, beside new rows."""
        half = METRIC_NAMES[: RAW_VALUES // 2]
        new: list[float] = []
        completing: list[float] = []
        for i in range(ROUNDS):
            first = self.stop + (2 * i + 1) * timedelta(seconds=STEP_S)
            rows = samples(self.servers, first, 1)
            parts = [rows.drop_columns(list(names)) for names in (METRIC_NAMES[len(half) :], half)]
            later = samples(self.servers, first + timedelta(seconds=STEP_S), 1)
            for part, into in zip((*parts, later), ([], completing, new), strict=True):
                self.put(part, "metrics", self.stop)
                began = time.process_time()
                self.writer.commit_waiting(self.stop + timedelta(hours=1))
                into.append(1000 * (time.process_time() - began))
        yield Figure(
            f"CPU of a commit that completes {self.servers} rows, p50", median(completing), "ms", 2,
            "as many new rows", median(new), "ratio",
        )  # fmt: skip

    def forecasts(self) -> Iterator[Figure]:
        """Measure a forecast of every server: 96 steps × 7 quantiles of each metric."""
        rows = forecasts(self.servers, self.stop)
        values = self.servers * RAW_VALUES * HORIZON_STEPS * len(QUANTILES)
        with stopwatch() as elapsed:
            self.put(rows, "forecasts", self.stop)
            self.writer.commit_waiting(self.stop + 2 * STEP)
            yield Figure(
                f"forecasts of {self.servers} servers, {HORIZON_STEPS} × {len(QUANTILES)}, durable",
                elapsed(), "ms", 200,
            )  # fmt: skip
        size = self._live_bytes("forecasts") / values
        yield Figure("bytes per forecast value", size, "B", 1, "a float32", 4, "ratio")

    def month(self) -> Iterator[Figure]:
        """Measure one of 20 servers over 30 days of roll-ups, beside a plain DuckDB file."""
        since = self.start - timedelta(days=32)
        for day in range(30):
            rows = rolled_samples(20, since + timedelta(days=day))
            self.put(rows, "metrics_5m", self.stop)
            self.writer.commit_waiting(self.stop + STEP)
        self.writer.merge("metrics_5m")
        rolled = self.reader.query("FROM metrics_5m")
        plain = plain_duckdb(self.folder / "month.duckdb", rolled, "metrics_5m")
        sql = "SELECT * FROM metrics_5m WHERE server = 'ppdb001' AND ts < $until ORDER BY ts"
        until = {"until": since + timedelta(days=31)}
        yield self._query("one server, 30 days of roll-ups", sql, plain, 40, until)
        plain.close()


def visibility(data: Path, servers: int) -> Iterator[Figure]:
    """Measure from the rename of a segment to its rows in another process than the writer's."""
    folders = Folders.at(data).create()
    Writer.open(data).close()
    writer = subprocess.Popen(
        module_command("storage", "--data", data), env=module_environment(),
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    reader = Reader.open(data)
    delays = []
    first = datetime.now(UTC) - timedelta(hours=1)
    try:
        for i in range(60):
            ts = first + i * timedelta(seconds=STEP_S)
            provenance = segment.Provenance(table="metrics", function="bench", created_at=ts)
            segment.write(folders, samples(servers, ts, 1), provenance)
            with stopwatch() as elapsed:
                _until(partial(_has_more_than, reader, i * servers))
                delays.append(elapsed())
    finally:
        writer.terminate()
        writer.wait()
        reader.close()
    later = delays[5:]  # the first wait for the writer to start
    yield Figure("visible to another process, p50", median(later), "ms", 100)
    yield Figure("visible to another process, p99", quantile(later, 0.99), "ms", 500)


def memory(data: Path) -> Iterator[Figure]:
    """Measure the memory of each process on the lake; the site has served its first page once."""
    web = WebSettings(port=free_port())
    write_settings(
        data, Settings(sources=SourceSettings(host=HostSettings(enabled=False)), web=web)
    )
    for name, module, goal_mb in PROCESSES:
        process = subprocess.Popen(
            module_command(*module, "--data", data), env=module_environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            time.sleep(SETTLE_S)
            if name == "web":
                httpx.get(f"http://127.0.0.1:{web.port}/", timeout=30).raise_for_status()
            rss_mb = psutil.Process(process.pid).memory_info().rss / 1e6
        finally:
            process.terminate()
            process.wait()
        yield Figure(f"memory of {name}", rss_mb, "MB", goal_mb)


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.005)


def _has_more_than(reader: Reader, rows: int) -> bool:
    return int(reader.query("SELECT count(*) AS n FROM metrics")["n"][0].as_py()) > rows


def _bare(rows: pa.Table, path: Path, **options: object) -> None:
    """Write with the defaults of pyarrow and the compression of the lake, and fsync."""
    with path.open("wb") as file:
        pq.write_table(rows, file, **({"compression": "zstd"} | options))
        file.flush()
        os.fsync(file.fileno())
