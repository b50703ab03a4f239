"""Benchmark of the MongoDB connector on a real mongod: throughput, back-fill, freshness.

CPU time is measured too, because other work on the machine hardly changes it.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import psutil

from functions.connectors.incremental_read import IncrementalRead, function_of
from functions.connectors.mongodb.mongodb_reader import CODEC
from functions.connectors.source_file import read_source
from functions.engine.runner import Runner
from functions.normalize.columns import projection
from scripts.mongod import DATABASE, Mongod, running
from scripts.python_process import module_command, module_environment
from scripts.tools.bench.measure import Figure, quantile
from storage.config.folders import Folders
from storage.config.settings import (
    HostSettings,
    Settings,
    SimulatorSettings,
    SourceSettings,
    write_settings,
)
from storage.model.metrics import METRIC_NAMES
from storage.query.reader import LakeMissing, Reader
from web.display.source_status import read_sources

__all__ = ["figures"]

SERVERS = 100
WEEK = timedelta(days=7)
WEEK_FRACTION = 7  # a seventh of the week at 5 s is measured, and multiplied
GIVE_UP_S = 600.0
NEW_DOCUMENTS = 60
PASSWORD = "of a benchmark"  # noqa: S105 - of a mongod of our own


def figures() -> Iterator[Figure]:
    """Measure reading alone and end to end, back-fills, and the delay of new documents."""
    with TemporaryDirectory() as folder, running(Path(folder) / "mongod", PASSWORD) as mongod:
        now = datetime.now(UTC).replace(microsecond=0)
        write(mongod, "day", now, WEEK / WEEK_FRACTION, timedelta(seconds=5))
        yield from reading(mongod, Path(folder))
        days = f"1 of 7 days measured, × {WEEK_FRACTION}"
        yield from back_fill(mongod, "day", f"at 5 s ({days})", WEEK_FRACTION)
        write(mongod, "week", now, WEEK, timedelta(minutes=1))
        yield from back_fill(mongod, "week", "at 1 min", 1)
        yield from freshness(mongod)


def write(
    mongod: Mongod, name: str, until: datetime, span: timedelta, step: timedelta
) -> None:  # fmt: skip
    """Write the flat documents of a fleet, as an agent does."""
    values = np.random.default_rng(1).uniform(0, 50, (997, len(METRIC_NAMES))).round(2).tolist()
    with mongod.admin() as client:
        collection = client[DATABASE][name]
        collection.create_index("timestamp")
        for first in range(0, steps := span // step, 100):
            collection.insert_many(
                [
                    {"timestamp": until - span + i * step, "server_name": f"server{s:03}"}
                    | dict(zip(METRIC_NAMES, values[(i * 31 + s) % 997], strict=True))
                    for i in range(first, min(first + 100, steps)) for s in range(SERVERS)
                ],
                ordered=False,
            )  # fmt: skip


def source_text(mongod: Mongod, name: str, more: str = "", rest: str = "") -> bytes:
    """Return the source file of a read-only user."""
    return (
        f'kind = "mongodb"\nhistory = "8d"\n{rest}\n[connection]\ndatabase = "{DATABASE}"\n'
        f'collection = "{name}"\nport = {mongod.port}\nuser = "reader"\n'
        f'password_file = "{mongod.folder}/password"\ndirect = true\n{more}\n'
    ).encode()


def reading(mongod: Mongod, folder: Path) -> Iterator[Figure]:
    """Measure the driver alone and the connector end to end, in turn."""
    (mongod.folder / "password").write_text(PASSWORD)
    folders = Folders.at(folder / "source").create()
    text = source_text(mongod, "day")
    ours, alone = [], []
    for turn in range(2):
        alone.append(_driver_alone(mongod, read_source("bench", text, folders).options.fields))
        ours.append(_end_to_end(text, folder / f"data{turn}"))
    (rate, cpu), (limit, limit_cpu) = map(_best, (ours, alone))
    yield Figure(
        "MongoDB: read, map, check, segment", rate, "docs/s", 60_000, "pymongo alone, docs/s",
        limit, at_least=True,
    )  # fmt: skip
    yield Figure(
        "… a second of our CPU", cpu, "docs/s", 60_000, "pymongo alone, docs/s", limit_cpu,
        at_least=True,
    )  # fmt: skip


def _best(turns: list[tuple[float, float]]) -> tuple[float, float]:
    return max(rate for rate, _ in turns), max(cpu for _, cpu in turns)


def _rates(count: int, began: float, cpu_began: float) -> tuple[float, float]:
    return count / (time.perf_counter() - began), count / (time.process_time() - cpu_began)


def _driver_alone(mongod: Mongod, fields: tuple[str, ...]) -> tuple[float, float]:
    with mongod.admin() as client:
        collection = client[DATABASE].get_collection("day", codec_options=CODEC)
        began, cpu_began, count = time.perf_counter(), time.process_time(), 0
        cursor = collection.find(
            {"timestamp": {"$type": "date"}}, dict.fromkeys(projection(fields), 1),
            sort=[("timestamp", 1)], batch_size=5000,
        )  # fmt: skip
        for _ in cursor:
            count += 1
        return _rates(count, began, cpu_began)


def _end_to_end(text: bytes, data: Path) -> tuple[float, float]:
    folders = Folders.at(data).create()
    source = read_source("bench", text, folders)
    read = IncrementalRead(source)
    function, runner = function_of(read, source, "bench"), Runner(folders, Settings())
    began, cpu_began, count = time.perf_counter(), time.process_time(), 0
    while True:
        run = runner.run(function, "bench")
        assert run.error is None, run.error
        count += run.batch.rows["metrics"].num_rows if run.batch.rows else 0
        if not run.batch.more:
            break
    rates = _rates(count, began, cpu_began)
    read.close()
    return rates


class ProcessChain:
    """The collector and the writer on a data folder, as `hoursight up` runs them."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._processes = [
            subprocess.Popen(
                module_command(*module, "--data", data), env=module_environment(),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for module in (["storage"], ["functions", "collector"])
        ]  # fmt: skip

    def cpu_s(self) -> float:
        """Return the CPU seconds of both processes and their children."""
        processes = [psutil.Process(each.pid) for each in self._processes]
        processes += [child for each in processes for child in each.children()]
        return sum(sum(each.cpu_times()[:2]) for each in processes)

    def end(self) -> None:
        """Stop both processes."""
        for each in self._processes:
            each.terminate()
        for each in self._processes:
            each.wait()

    def wait_for_rows(self, count: int) -> None:
        """Return when `count` samples can be queried; print the status of sources meanwhile."""
        give_up, printed_at = time.monotonic() + GIVE_UP_S, time.monotonic()
        while time.monotonic() < give_up:
            with _reader(self.data) as reader:
                if reader is not None:
                    rows = reader.query("SELECT count(*) AS n FROM metrics")["n"][0].as_py()
                    if rows >= count:
                        return
                    if time.monotonic() > printed_at + 5:
                        printed_at = time.monotonic()
                        for each in read_sources(reader, datetime.now(UTC)):
                            click.echo(f"{each.source}: {each.summary}")
            time.sleep(0.1)
        raise TimeoutError(f"{count} samples have not come within {GIVE_UP_S:g} s")


@contextmanager
def chain(text: bytes) -> Iterator[ProcessChain]:
    """Run the processes with one source while the context lasts."""
    with TemporaryDirectory() as folder:
        data = Path(folder)
        none = SourceSettings(HostSettings(False), SimulatorSettings(False))
        write_settings(data, Settings(sources=none))
        (data / "sources").mkdir()
        (data / "sources" / "fleet.toml").write_bytes(text)
        chain = ProcessChain(data)
        try:
            yield chain
        finally:
            chain.end()


@contextmanager
def _reader(data: Path) -> Iterator[Reader | None]:
    try:
        reader = Reader.open(data)
    except LakeMissing:
        yield None
        return
    with closing(reader):
        yield reader


def back_fill(mongod: Mongod, name: str, what: str, times: int) -> Iterator[Figure]:
    """Measure from the start of the processes until the last sample can be queried."""
    with mongod.admin() as client:
        count = client[DATABASE][name].estimated_document_count()
    began = time.monotonic()
    with chain(source_text(mongod, name)) as running_chain:
        running_chain.wait_for_rows(1)
        start_s, start_cpu_s = time.monotonic() - began, running_chain.cpu_s()
        running_chain.wait_for_rows(count)
        took_s, cpu_s = time.monotonic() - began, running_chain.cpu_s()
    took_s += (times - 1) * (took_s - start_s)
    cpu_s += (times - 1) * (cpu_s - start_cpu_s)
    title = f"back-fill of 7 days, {SERVERS} servers {what}"
    yield Figure(title, took_s, "s", 300)
    yield Figure(f"… CPU of the collector, its child and the writer, {what}", cpu_s, "s", 600)


def freshness(mongod: Mongod) -> Iterator[Figure]:
    """Measure from the insert of a document to its row in SQL, at random times."""
    for title, more, pause_s, goal in (
        ("polled every 5 s", "", 0.7, 6.0),
        ("with a change stream", "change_stream = true", 0.25, 1.0),
    ):  # fmt: skip
        name = f"fresh{pause_s:g}".replace(".", "_")
        now = datetime.now(UTC).replace(microsecond=0)
        write(mongod, name, now, timedelta(minutes=1), timedelta(seconds=5))
        with chain(source_text(mongod, name, more)) as running_chain:
            running_chain.wait_for_rows(SERVERS * 12)
            took = list(_delays(mongod, name, running_chain.data, pause_s))
        yield Figure(f"new document → SQL, {title}, p95", quantile(took, 0.95), "s", goal)


def _delays(mongod: Mongod, name: str, data: Path, pause_s: float) -> Iterator[float]:
    rng, due = Random(1), time.monotonic()  # noqa: S311 - a seed, not a secret
    inserted: dict[str, float] = {}
    seen: set[str] = set()
    with mongod.admin() as client, closing(Reader.open(data)) as reader:
        while len(seen) < NEW_DOCUMENTS:
            if time.monotonic() >= due and len(inserted) < NEW_DOCUMENTS:
                server = f"new{len(inserted)}"
                document: dict[str, Any] = {"server_name": server, "load1": 1.0}
                client[DATABASE][name].insert_one(document | {"timestamp": datetime.now(UTC)})
                inserted[server] = time.monotonic()
                due = time.monotonic() + pause_s * rng.uniform(0.5, 1.5)
            rows = reader.query("SELECT server FROM metrics WHERE starts_with(server, 'new')")
            now = time.monotonic()
            for server in set(rows["server"].to_pylist()) - seen:
                seen.add(server)
                yield now - inserted[server]
            time.sleep(0.02)
