"""Kill the writer and the keeper at every step, with readers beside; count what is there.

    python -m scripts.crash_sweep --seeds 10

Prints "N crash points × M seeds, 0 lost, 0 doubled", and exits with 1 when that is not so.
"""

import itertools
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pyarrow as pa

from storage import segment
from storage.crash import CRASH_AT, POINTS
from storage.folders import Folders
from storage.keeper import Keeper
from storage.reader import QueryFailed, Reader
from storage.schema import table

__all__ = ["Outcome", "sweep"]

SERVERS = 40
BATCHES = 4  # segments a round, each of SERVERS rows, and as many for a table without a key
START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=5)
PATIENCE_S = 60
WRITERS = ("segment written", "segment synced", "segment renamed")

SEEN = """
SELECT
    (SELECT count(*) FROM metrics) AS rows,
    (SELECT count(DISTINCT (server, ts)) FROM metrics) AS distinct_rows,
    (SELECT count(*) FROM processes) AS events,
    (SELECT count(DISTINCT process) FROM processes) AS distinct_events
"""


@dataclass
class Outcome:
    """What a sweep found."""

    points: int
    seeds: int
    kills: int = 0
    lost: int = 0
    doubled: int = 0
    torn: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        all_killed = self.kills == self.points * self.seeds
        return all_killed and not (self.lost or self.doubled or self.torn)

    def __str__(self) -> str:
        text = f"{self.points} crash points × {self.seeds} seeds, "
        text += f"{self.lost} lost, {self.doubled} doubled"
        return text + (f", readers saw: {self.torn[0]}" if self.torn else "")


def sweep(points: Sequence[str], seeds: Sequence[int]) -> Outcome:
    """Each point once a seed, all on one lake a seed, so that one crash may follow another."""
    outcome = Outcome(len(points), len(seeds))
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="hoursight-sweep-") as folder:
            _Lake(Path(folder), seed, outcome).play(points)
    return outcome


class _Lake:
    """One lake that is crashed again and again."""

    def __init__(self, data: Path, seed: int, outcome: Outcome) -> None:
        self._data, self._dice, self._outcome = data, random.Random(seed), outcome  # noqa: S311 - dice
        self._acked: set[int] = set()
        self._numbers = itertools.count()
        Keeper.open(data).close()

    def play(self, points: Sequence[str]) -> None:
        """Crash at each point, in an order of the dice, then count."""
        order = self._dice.sample(points, len(points))
        with _readers(self._data, self._outcome.torn):
            for point in order:
                self._crash_at(point)
        self._keep(None)
        self._count()

    def _crash_at(self, point: str) -> None:
        """Kill at the point's second time, or at its first where it comes but once a run."""
        for time in (self._dice.randint(1, 2), 1):
            if self._killed(f"{point}:{time}"):
                self._outcome.kills += 1
                return

    def _killed(self, crash_at: str) -> bool:
        if crash_at.startswith(WRITERS):
            return self._write(crash_at)
        self._write(None)
        self._write_rejected()
        return self._keep(crash_at)

    def _write(self, crash_at: str | None) -> bool:
        """Write a round in a process of its own; what it names on its output counts as acked."""
        numbers = [next(self._numbers) for _ in range(BATCHES)]
        done = _run(["write", str(self._data), *map(str, numbers)], crash_at)
        self._acked |= {int(line) for line in done.stdout.split()}
        return done.returncode == -9

    def _write_rejected(self) -> None:
        (Folders.at(self._data).inbox / f"torn-{next(self._numbers)}.parquet").write_bytes(b"PAR1")

    def _keep(self, crash_at: str | None) -> bool:
        """Commit and tidy up in a process of its own until it is killed, or nothing is left."""
        done = _run(["keep", str(self._data)], crash_at)
        if done.returncode not in (0, -9):
            raise RuntimeError(f"the keeper failed: {done.stderr}")
        return done.returncode == -9

    def _count(self) -> None:
        """Hold the lake against what was acked; what was cut off in the act may be there or not."""
        reader = Reader.open(self._data)
        seen = reader.query(SEEN).to_pylist()[0]
        there = {
            int(n) for n in reader.query("SELECT process FROM processes")["process"].to_pylist()
        }
        whole = {
            round((ts - START) / STEP)
            for ts in reader.query(
                "SELECT ts FROM metrics GROUP BY ts HAVING count(*) = $n", n=SERVERS
            )["ts"].to_pylist()
        }
        reader.close()
        self._outcome.lost += len(self._acked - there) + len(self._acked - whole)
        self._outcome.doubled += seen["rows"] - seen["distinct_rows"]
        self._outcome.doubled += seen["events"] - seen["distinct_events"]


@contextmanager
def _readers(data: Path, torn: list[str]) -> Iterator[None]:
    """Two readers beside the crashes: no half batch, no doubled row, no missing file, no loss."""
    stop = threading.Event()
    threads = [threading.Thread(target=_watch, args=(data, torn, stop)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _watch(data: Path, torn: list[str], stop: threading.Event) -> None:
    reader, rows = Reader.open(data), 0
    while not stop.is_set():
        try:
            seen = reader.query(SEEN).to_pylist()[0]
        except QueryFailed as error:
            torn.append(str(error))
            continue
        if seen["rows"] % SERVERS or seen["rows"] != seen["distinct_rows"] or seen["rows"] < rows:
            torn.append(f"{seen} after {rows} rows")
        rows = seen["rows"]
    reader.close()


def _run(arguments: Sequence[str], crash_at: str | None) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | ({CRASH_AT: crash_at} if crash_at else {})
    command = [sys.executable, "-m", "scripts.crash_sweep", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@click.group(invoke_without_command=True)
@click.option("--seeds", default=10, show_default=True, help="Rounds over all points.")
@click.pass_context
def main(context: click.Context, seeds: int) -> None:
    """Sweep over all crash points."""
    if context.invoked_subcommand is not None:
        return
    total = Outcome(len(POINTS), seeds)
    with click.progressbar(range(seeds), label="seeds", file=sys.stderr) as bar:
        for seed in bar:
            found = sweep(POINTS, [seed])
            total.kills += found.kills
            total.lost += found.lost
            total.doubled += found.doubled
            total.torn += found.torn
    click.echo(f"{total} ({total.kills} kills)")
    sys.exit(0 if total.clean else 1)


@main.command(hidden=True)
@click.argument("data")
@click.argument("numbers", nargs=-1, type=int)
def write(data: str, numbers: Sequence[int]) -> None:
    """Write one segment for a table with a key and one for a table without; then say so."""
    folders = Folders.at(data)
    for number in numbers:
        when = START + number * STEP
        samples = [{"server": f"s{i}", "ts": when, "load_average": 1.0} for i in range(SERVERS)]
        event = [{"process": f"{number}", "ts": when, "event": "started"}]
        for name, rows in (("metrics", samples), ("processes", event)):
            told = segment.Provenance(table=name, function="sweep", created_at=when)
            segment.write(folders, pa.Table.from_pylist(rows, table(name).arrow), told)
        print(number, flush=True)


@main.command(hidden=True)
@click.argument("data")
def keep(data: str) -> None:
    """Commit what waits, with a whole round of maintenance after it and one more."""
    keeper = Keeper.open(data)
    now = datetime.now(UTC)
    while any(Folders.at(data).inbox.glob("*.parquet")):
        keeper.commit_waiting(now)
        keeper.tidy(now)
    keeper.tidy(now)
    keeper.close()


if __name__ == "__main__":
    main()
