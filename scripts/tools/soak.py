"""Soak test: the whole system under load, beside functions that fail; counts lost samples.

    python -m scripts.tools.soak --servers 1000 --minutes 10
    python -m scripts.tools.soak --servers 50 --minutes 60

Starts writer, collector, engine and site in a folder of their own. Simulated servers send every
5 s, four functions crash, leak, hang and raise, a reader queries and pages are opened throughout.
At the end each (server, ts) must be there exactly once. Exits with 1 when that is not so, or when
the backlog or, after five minutes, the memory of a process has grown.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import click
import psutil

from scripts.cli.function_list import runner_of, why
from scripts.cli.output import print_grid
from scripts.ports import free_port
from scripts.python_process import module_command, module_environment
from storage.config.folders import Folders
from storage.config.settings import (
    HostSettings,
    Settings,
    SimulatorSettings,
    SourceSettings,
    write_settings,
)
from storage.query.reader import LakeMissing, LakeUnreadable, QueryFailed, Reader

__all__ = ["Observations", "SampleCounts", "count_samples", "soak"]

LIVE_STEP_S = 5
OBSERVE_EVERY_S = 1.0
SAVE_EVERY_S = 30.0
PATIENCE_S = 120.0
HISTORY_DAYS = 0.02  # half an hour, all of it every 5 s
# A backlog is flat when its last third holds, in the middle, no more than this beyond its first.
FLAT_SEGMENTS = 2
# The memory of a process is flat when its last third is not above its first by more than this.
FLAT_MB, FLAT_SHARE = 20.0, 0.1
WARM_UP = 300  # measurements that are left out
PAGES = ("/", "/sources", "/settings", "/metrics")

PROCESSES = {
    "writer": ["storage"],
    "collector": ["functions", "collector"],
    "engine": ["functions", "engine"],
    "web": ["web"],
}

HEAD = """
import os, time
from hoursight import every, function

@function(on=every("5s"), writes="server_facts", deadline="{deadline}", memory_mb=300)
def {name}():
    "Fails."
    {body}
"""
# Function: what it does, its deadline, and the outcome that its runs must have.
FAILING = {
    "crashes": ("os.abort()", "10s", "crashed"),
    "leaks": (
        "kept = []\n    while True: kept.append(os.urandom(1000) * 1000)", "20s", "out of memory",
    ),
    "hangs": ("while True: time.sleep(60)", "2s", "timed out"),
    "raises": ('return {}["no such key"]', "10s", "failed"),
}  # fmt: skip

COUNTS = """
SELECT count(*) AS rows, count(DISTINCT (server, ts)) AS distinct_rows,
    epoch(max(ts) - min(ts)) AS span_s
FROM metrics
"""
INCOMPLETE = (
    "SELECT count(*) AS n FROM (SELECT ts FROM metrics GROUP BY ts HAVING count(*) != $servers)"
)
REJECTED = """
SELECT sum(rows_in) AS rows_in, sum(rows_committed) AS rows_committed,
    count(*) FILTER (outcome != 'committed') AS rejected
FROM segments WHERE table_name = 'metrics'
"""


@dataclass
class Observations:
    """Measurements while the system ran: backlog [segments], age of the newest sample, memory."""

    backlog: list[int] = field(default_factory=list)
    age_s: list[float] = field(default_factory=list)
    rss_mb: dict[str, list[float]] = field(default_factory=dict)
    queries: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def flat(self) -> bool:
        """True if the backlog at the end was about that at the beginning."""
        third = max(1, len(self.backlog) // 3)
        first, last = self.backlog[:third], self.backlog[-third:]
        return not last or median(last) <= median(first) + FLAT_SEGMENTS

    @property
    def growing(self) -> list[str]:
        """The processes whose memory has grown since they were warm."""
        found = []
        for name, sizes in ((name, sizes[WARM_UP:]) for name, sizes in self.rss_mb.items()):
            if not (third := len(sizes) // 3):
                continue
            before, after = median(sizes[:third]), median(sizes[-third:])
            if after > before * (1 + FLAT_SHARE) + FLAT_MB:
                found.append(f"{name}: {before:.0f} MB, then {after:.0f} MB")
        return found


@dataclass(frozen=True)
class SampleCounts:
    """The samples in the lake compared with those that were sent."""

    expected: int
    rows: int
    distinct_rows: int
    refused: int

    @property
    def lost(self) -> int:
        """Samples that are missing."""
        return self.expected - self.distinct_rows + self.refused

    @property
    def doubled(self) -> int:
        """Samples that are there more than once."""
        return self.rows - self.distinct_rows


def count_samples(reader: Reader, servers: int) -> SampleCounts:
    """Compare with one sample of each server every 5 s, from the first sample to the last."""
    counts, segments = (reader.query(sql).to_pylist()[0] for sql in (COUNTS, REJECTED))
    instants = round(counts["span_s"] or 0) // LIVE_STEP_S + 1
    refused = segments["rejected"] + segments["rows_in"] - segments["rows_committed"]
    return SampleCounts(servers * instants, counts["rows"], counts["distinct_rows"], int(refused))


def soak(data: Path, servers: int, minutes: float) -> tuple[SampleCounts, Observations]:
    """Run for so many minutes, let the writer finish, and count."""
    folders = Folders.at(data).create()
    simulator = SimulatorSettings(enabled=True, servers=servers, history_days=HISTORY_DAYS)
    write_settings(data, Settings(sources=SourceSettings(HostSettings(False), simulator)))
    observations = Observations()
    url = f"http://127.0.0.1:{free_port()}"
    with _running(data, url) as processes:
        with _reader_of(data) as reader:
            _observe(folders, reader, url, processes, servers, minutes, observations)
        _stop(processes.pop("collector"))
        _until(lambda: not _waiting(folders), "the writer takes what waits")
        _stop(processes.pop("engine"))
        _until(lambda: not _waiting(folders), "the writer takes what waits")
    with closing(Reader.open(data)) as reader:
        observations.problems += _missing_outcomes(reader)
        return count_samples(reader, servers), observations


def _save_failing_functions(folders: Folders) -> None:
    """Save the four functions anew, as a user who repairs them: suspended ones run again."""
    folders.functions.mkdir(exist_ok=True)
    for name, (body, deadline, _) in FAILING.items():
        text = HEAD.format(name=name, body=body, deadline=deadline)
        (folders.functions / f"{name}.py").write_text(f"{text}# saved at {time.time()}\n")


@contextmanager
def _running(data: Path, url: str) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run the processes of the Procfile, each with its log in the folder."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, module in PROCESSES.items():
            more = ("--port", url.rpartition(":")[2]) if name == "web" else ()
            with (data / f"{name}.log").open("wb") as log:
                processes[name] = subprocess.Popen(
                    module_command(*module, "--data", data, *more), env=module_environment(),
                    stdout=log, stderr=subprocess.STDOUT,
                )  # fmt: skip
        yield processes
    finally:
        for process in processes.values():
            _stop(process)


@contextmanager
def _reader_of(data: Path) -> Iterator[Reader]:
    """A reader of the lake, once there are samples in it."""
    readers: list[Reader] = []

    def has_samples() -> bool:
        # The writer makes the lake and its tables meanwhile.
        with suppress(LakeMissing, LakeUnreadable, QueryFailed):
            readers[:] = readers or [Reader.open(data)]
            return _newest(readers[0]) is not None
        return False

    try:
        _until(has_samples, "the first samples")
        yield readers[0]
    finally:
        for reader in readers:
            reader.close()


def _observe(
    folders: Folders,
    reader: Reader,
    url: str,
    processes: dict[str, subprocess.Popen[bytes]],
    servers: int,
    minutes: float,
    observations: Observations,
) -> None:
    """Query, and measure backlog and memory of the processes, until the time is over."""
    end, saved = time.monotonic() + 60 * minutes, 0.0
    with click.progressbar(length=round(60 * minutes), label="soak", file=sys.stderr) as bar:
        while (left := end - time.monotonic()) > 0:
            bar.update(round(60 * minutes - left) - bar.pos)
            if time.monotonic() - saved > SAVE_EVERY_S:
                saved = time.monotonic()
                _save_failing_functions(folders)
            observations.backlog.append(_waiting(folders))
            _query(reader, servers, observations)
            _open_page(url + PAGES[observations.queries % len(PAGES)], observations)
            for name, process in processes.items():
                if process.poll() is not None:
                    observations.problems.append(f"{name} ended with {process.returncode}")
                    return
                _measure_memory(name, process.pid, observations)
            time.sleep(OBSERVE_EVERY_S)


def _query(reader: Reader, servers: int, observations: Observations) -> None:
    observations.queries += 1
    try:
        if reader.query(INCOMPLETE, servers=servers)["n"][0].as_py():
            observations.problems.append("a reader saw part of a batch")
        newest = _newest(reader)
    except QueryFailed as error:
        observations.problems.append(str(error))
        return
    if newest is not None:
        observations.age_s.append((datetime.now(UTC) - newest).total_seconds())


def _open_page(url: str, observations: Observations) -> None:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as reply:  # noqa: S310 - our own URL
            reply.read()
    except OSError as error:
        observations.problems.append(f"{url}: {error}")


def _newest(reader: Reader) -> datetime | None:
    ts: datetime | None = reader.query("SELECT max(ts) AS ts FROM metrics")["ts"][0].as_py()
    return ts


def _waiting(folders: Folders) -> int:
    return sum(1 for _ in folders.inbox.glob("*.parquet"))


def _measure_memory(name: str, pid: int, observations: Observations) -> None:
    """Record the resident memory of a process, and of the largest child of the collector."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        observations.rss_mb.setdefault(name, []).append(process.memory_info().rss / 2**20)
    if name == "collector":
        with suppress(psutil.Error, ValueError):
            largest = max(child.memory_info().rss for child in process.children())
            observations.rss_mb.setdefault("simulator", []).append(largest / 2**20)


def _missing_outcomes(reader: Reader) -> Iterator[str]:
    """Yield which of the four functions had another outcome than it must have."""
    for name, (*_, outcome) in FAILING.items():
        sql = "SELECT DISTINCT outcome FROM runs WHERE function = $name"
        outcomes = reader.query(sql, name=name)["outcome"].to_pylist()
        if outcomes != [outcome]:
            yield f"{name} has the outcomes {outcomes}, expected {outcome!r}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def _until(condition: Any, what: str) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > give_up:
            raise click.ClickException(f"not within {PATIENCE_S:g} s: {what}")
        time.sleep(0.1)


def _report(counts: SampleCounts, observations: Observations) -> None:
    click.echo(
        f"{counts.expected:,} samples sent, {counts.lost} lost, {counts.doubled} doubled; "
        f"{observations.queries} queries of a reader, {len(observations.problems)} problems"
    )
    for problem in observations.problems[:5]:
        click.echo(f"problem: {problem}")
    backlog, ages = observations.backlog, sorted(observations.age_s) or [float("nan")]
    click.echo(
        f"backlog: {median(backlog):g} segments (median), {max(backlog)} at most, "
        f"{'flat' if observations.flat else 'growing'}; newest sample "
        f"{ages[len(ages) // 2]:.1f} s old (median), {ages[-1]:.1f} s at most"
    )
    rows = []
    for name, sizes in observations.rss_mb.items():
        third = max(1, len(sizes) // 3)
        cells = (median(sizes[:third]), median(sizes[-third:]), max(sizes))
        rows.append([name, *(f"{size:.0f}" for size in cells)])
    print_grid(["process", "MB, median of the first third", "of the last third", "at most"], rows)


@click.command()
@click.option("--servers", default=1000, show_default=True, help="Size of the fleet.")
@click.option("--minutes", default=10.0, show_default=True, help="How long.")
@click.option("--keep", is_flag=True, help="Leave the data folder and its logs.")
def main(servers: int, minutes: float, keep: bool) -> None:
    """Run the soak test, and count."""
    data = Path(tempfile.mkdtemp(prefix="hoursight-soak-"))
    try:
        counts, observations = soak(data, servers, minutes)
        _report(counts, observations)
        for name in FAILING:
            click.echo()
            for line in why(runner_of(data), name):
                click.echo(line)
    finally:
        if keep:
            click.echo(f"everything is in {data}")
        else:
            shutil.rmtree(data, ignore_errors=True)
    growing = observations.growing
    for process in growing:
        click.echo(f"memory has grown: {process}")
    faults = counts.lost or counts.doubled or observations.problems or growing
    clean = not faults and observations.flat
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
