"""Crash sweep: kill writer, functions, backup, deliveries and the catalog's server at every step.

    python -m scripts.tools.crash_sweep --seeds 10
    python -m scripts.tools.crash_sweep --seeds 10 --catalog postgres

It counts rows, and the messages that came to a receiver that answers 500, or takes one and says
nothing. Prints "N crash points × M seeds, 0 lost, 0 doubled", and exits with 1 when that is not so.
"""

import itertools
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from scripts.tools.crash_deliveries import lost_and_doubled
from scripts.tools.crash_workers import (
    AT_ANY_TIME,
    FIRST,
    LATER,
    LATER_BY,
    SERVER,
    SERVERS,
    START,
    STEP,
    JobResult,
    Workers,
    workers,
    write_segments,
)
from scripts.tools.lying_receiver import LyingReceiver, lying_receiver
from scripts.tools.postgres_server import Cluster, Proxy, missing
from storage.config.folders import Folders
from storage.config.settings import LakeSettings, Settings, write_settings
from storage.lake.backup import back_up, restore
from storage.lake.catalog_loss import CatalogLost
from storage.lake.writer import Writer
from storage.platform.failpoints import POINTS
from storage.query.reader import QueryFailed, Reader

__all__ = ["POSTGRES_POINTS", "SERVER_POINTS", "SQLITE_POINTS", "SweepResult", "sweep"]

BATCHES = LATER_BY  # a round; so that each completes the rows of the round before
READ_EVERY_S = 0.03

REPLY = "COMMIT "
WRITING = ("segment written", "segment synced", "segment renamed")
REBUILD = "rebuild: "  # prefix of the failpoints of a rebuild
DELIVERY = "delivery: "  # prefix of the failpoints of a delivery
# They work on a copy or on a SQLite file.
OF_A_FILE = ("backup", "catalog snapshot", REBUILD, DELIVERY)
SQLITE_POINTS = (*POINTS, AT_ANY_TIME)
# The server of the catalog is killed where the writer could be, and around the COMMIT itself.
SERVER_POINTS = (
    *(SERVER + p for p in POINTS if not p.startswith((*WRITING, *OF_A_FILE))),
    *(REPLY + mode for mode in Proxy.MODES),
)  # fmt: skip

POSTGRES_POINTS = (
    *(p for p in SQLITE_POINTS if not p.startswith(("catalog snapshot", REBUILD))), *SERVER_POINTS
)  # fmt: skip

# One pass over each table: readers ask for this all the time, beside the writer.
COUNTS = f"""
SELECT * FROM
    (SELECT count(*) AS rows, count({FIRST}) AS first_values, count({LATER}) AS later_values,
        count(DISTINCT (server, ts)) AS distinct_rows FROM metrics),
    (SELECT count(*) AS events, count(DISTINCT process) AS distinct_events FROM processes)
"""

# Each commit brings a multiple of SERVERS of these, and none is ever lost.
WHOLE = ("rows", "first_values", "later_values")


@dataclass
class SweepResult:
    """Counts of a sweep: kills, lost and doubled rows, and what readers should not have seen."""

    points: int
    seeds: int
    kills: int = 0
    lost: int = 0
    doubled: int = 0
    inconsistent_reads: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """True if each point was reached, and nothing was lost, doubled or read by halves."""
        all_killed = self.kills == self.points * self.seeds
        return all_killed and not (self.lost or self.doubled or self.inconsistent_reads)

    def __str__(self) -> str:
        text = f"{self.points} crash points × {self.seeds} seeds, "
        text += f"{self.lost} lost, {self.doubled} doubled"
        reads = self.inconsistent_reads
        return text + (f", readers saw: {reads[0]}" if reads else "")


def sweep(
    points: Sequence[str], seeds: Sequence[int], on_seed_done: Callable[[], None] = lambda: None
) -> SweepResult:
    """Crash once at each point for each seed, all on one lake a seed, so that crashes add up.

    With points of a server the lake has a PostgreSQL catalog.
    """
    result = SweepResult(len(points), len(seeds))
    with ExitStack() as stack:
        processes = stack.enter_context(workers())
        receiver = stack.enter_context(lying_receiver())
        proxy = None
        if any(p.startswith((SERVER, REPLY)) for p in points):
            cluster = Cluster()
            stack.callback(cluster.close)
            proxy = Proxy(cluster)
            stack.callback(proxy.close)
        for seed in seeds:
            with tempfile.TemporaryDirectory(prefix="hoursight-sweep-") as folder:
                receiver.taken.clear()
                lake = _LakeUnderTest(Path(folder), seed, result, processes, receiver, proxy)
                lake.run(points)
            on_seed_done()
    return result


class _LakeUnderTest:
    """One lake that is crashed again and again."""

    def __init__(
        self,
        home: Path,
        seed: int,
        result: SweepResult,
        workers: Workers,
        receiver: LyingReceiver,
        proxy: Proxy | None,
    ) -> None:
        self._home, self._data = home, home / "lake"
        self._rng, self._result = random.Random(seed), result  # noqa: S311 - a seed, not a secret
        self._workers, self._receiver, self._proxy = workers, receiver, proxy
        self._written: set[int] = set()
        self._delivered: list[int] = []
        self._numbers = itertools.count()
        if proxy is not None:
            proxy.cluster.create(f"seed{seed}")
            address = f"postgres:host=127.0.0.1 port={proxy.port} user=hoursight dbname=seed{seed}"
            write_settings(self._data, Settings(lake=LakeSettings(address)))
        Writer.open(self._data).close()

    def run(self, points: Sequence[str]) -> None:
        """Crash at each point, in random order, then count; last come those of a rebuild."""
        order = self._rng.sample(points, len(points))
        rebuilds = [p for p in order if p.startswith(REBUILD)]
        order = [p for p in order if p not in rebuilds]
        with _readers(self._data, self._result.inconsistent_reads):
            for point in order:
                if self._crash_at(point):
                    self._result.kills += 1
                else:
                    self._result.missed.append(point)
            self._commit()
        self._count(self._data, self._written)
        self._count_backups()
        self._count_deliveries()
        if rebuilds:
            self._crash_rebuilds(rebuilds)
            self._count(self._data, self._written)

    def _crash_rebuilds(self, points: Sequence[str]) -> None:
        """Lose the catalog, and crash each attempt to rebuild it but the last."""
        for path in self._data.glob("catalog.sqlite*"):
            path.unlink()
        for point in (*points, None):
            with suppress(CatalogLost):  # else the new catalog was in its place
                Reader.open(self._data).close()
            files_only = self._rng.random() < 0.5
            job = self._run_job("rebuild", point, 1, files_only=files_only)
            if job.killed:
                self._result.kills += 1
            elif point:
                self._result.missed.append(point)

    def _crash_at(self, point: str) -> bool:
        """Kill at the point's second time, or at its first where it comes but once a run."""
        return any(self._killed(point, time) for time in (self._rng.randint(1, 2), 1))

    def _killed(self, point: str, time: int) -> bool:
        if point in WRITING:
            numbers = self._next_numbers()
            job = self._run_job("write", point, time, numbers=numbers)
            self._written |= set(job.written)
            return job.killed
        if point.startswith(DELIVERY):
            self._delivered += self._next_numbers()[:2]
            return self._deliver(point, time)
        write_segments(self._data, numbers := self._next_numbers(), self._written.add)
        (Folders.at(self._data).inbox / f"torn-{numbers[0]}.parquet").write_bytes(b"PAR1")
        if point.startswith("catalog snapshot"):
            return self._run_job("snapshot", point, 1).killed
        if point.startswith("backup"):
            archive = str(self._archive(numbers[0]))
            return self._run_job("backup", point, time, archive=archive).killed
        if point.startswith(REPLY):
            return self._commit_through_proxy(point.removeprefix(REPLY))
        return self._commit(point, time)

    def _deliver(self, point: str | None, time: int) -> bool:
        """Send what was not sent, of all episodes so far, and their ends."""
        job_number = next(self._numbers)
        url, numbers = self._receiver.url, self._delivered
        more = {"numbers": numbers, "job_number": job_number, "url": url}
        return self._run_job("deliver", point, time, **more).killed

    def _count_deliveries(self) -> None:
        """Each message came, and none under two keys, though it may have come twice under one."""
        self._deliver(None, 1)
        lost, doubled = lost_and_doubled(self._receiver, self._delivered)
        self._result.lost += lost
        self._result.doubled += doubled

    def _next_numbers(self) -> list[int]:
        return [next(self._numbers) for _ in range(BATCHES)]

    def _commit_through_proxy(self, mode: str) -> bool:
        """Commit while the proxy is armed; return True if it cut a COMMIT off."""
        assert self._proxy is not None
        self._proxy.arm(mode)
        self._commit()
        return self._proxy.triggered()

    def _commit(self, point: str | None = None, time: int = 1) -> bool:
        """Commit and maintain in a process of its own until it is killed, or nothing is left."""
        return self._run_job("commit", point, time).killed

    def _run_job(self, work: str, point: str | None, time: int, **more: Any) -> JobResult:
        server = self._proxy.cluster.pid if self._proxy else None
        kill_after_s = self._rng.uniform(0, 0.6) if point == AT_ANY_TIME else None
        job = {"work": work, "data": str(self._data), "server": server, "point": point}
        return self._workers.run(job | {"time": time} | more, kill_after_s)

    def _archive(self, number: int) -> Path:
        return self._home / f"{number}.tar"

    def _count(self, data: Path, written: set[int]) -> None:
        """Compare with what was written; a segment that was cut off may be there or not."""
        reader = Reader.open(data)
        counts = reader.query(COUNTS).to_pylist()[0]
        events = {
            int(n) for n in reader.query("SELECT process FROM processes")["process"].to_pylist()
        }
        first, later = (self._complete(reader, metric) for metric in (FIRST, LATER))
        reader.close()
        completed = {number - LATER_BY for number in written if number >= LATER_BY}
        self._result.lost += len(written - events)
        self._result.lost += len(written - first) + len(completed - later)
        self._result.doubled += counts["rows"] - counts["distinct_rows"]
        self._result.doubled += counts["events"] - counts["distinct_events"]

    def _complete(self, reader: Reader, metric: str) -> set[int]:
        """The numbers whose rows all have a value of `metric`."""
        complete = f"SELECT ts FROM metrics GROUP BY ts HAVING count({metric}) = $servers"
        stamps = reader.query(complete, servers=SERVERS)["ts"].to_pylist()
        return {round((ts - START) / STEP) for ts in stamps}

    def _count_backups(self) -> None:
        """A killed backup must leave a complete archive or none; the last backup has all rows."""
        last = self._archive(next(self._numbers))
        back_up(self._data, last)
        for archive in sorted(self._home.glob("*.tar")):
            restored = archive.with_suffix("")
            restore(archive, restored)
            self._count(restored, self._written if archive == last else set())


@contextmanager
def _readers(data: Path, inconsistent: list[str]) -> Iterator[None]:
    """Two readers beside the crashes: no half batch, no doubled row, no missing file, no loss."""
    stop = threading.Event()
    threads = [threading.Thread(target=_read, args=(data, inconsistent, stop)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _read(data: Path, inconsistent: list[str], stop: threading.Event) -> None:
    reader, before = Reader.open(data), dict.fromkeys(WHOLE, 0)
    pause_s = READ_EVERY_S
    while not stop.wait(pause_s):
        began = time.monotonic()
        try:
            counts = reader.query(COUNTS).to_pylist()[0]
        except QueryFailed as error:
            if not error.retryable:
                inconsistent.append(str(error))
            continue
        finally:
            # On a busy machine readers must not take the time of what they watch.
            pause_s = max(READ_EVERY_S, 2 * (time.monotonic() - began))
        halves = any(counts[name] % SERVERS for name in WHOLE)
        fewer = any(counts[name] < before[name] for name in WHOLE)
        if halves or fewer or counts["rows"] != counts["distinct_rows"]:
            inconsistent.append(f"{counts} after {before}")
        before = {name: counts[name] for name in WHOLE}
    reader.close()


@click.command()
@click.option("--seeds", default=10, show_default=True, help="Rounds over all points.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--catalog", type=click.Choice(["sqlite", "postgres"]), default="sqlite")
def main(seeds: int, first: int, catalog: str) -> None:
    """Crash at all points, and count."""
    if catalog == "postgres" and (reason := missing()):
        raise click.ClickException(reason)
    points = POSTGRES_POINTS if catalog == "postgres" else SQLITE_POINTS
    with click.progressbar(length=seeds, label="seeds", file=sys.stderr) as bar:
        total = sweep(points, range(first, first + seeds), lambda: bar.update(1))
    click.echo(f"{total} ({total.kills} kills, catalog: {catalog})")
    if total.missed:
        click.echo(f"not reached: {', '.join(total.missed)}")
    sys.exit(0 if total.clean else 1)


if __name__ == "__main__":
    main()
