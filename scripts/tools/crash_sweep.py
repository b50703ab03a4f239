"""Kill writer, writer, backup and the catalog's server at every step; count what is there.

    python -m scripts.tools.crash_sweep --seeds 10
    python -m scripts.tools.crash_sweep --seeds 10 --catalog postgres

Prints "N crash points × M seeds, 0 lost, 0 doubled", and exits with 1 when that is not so.
"""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import duckdb
import pyarrow as pa

from scripts.tools.postgres_server import Cluster, Proxy, kill_server, missing
from storage.config.folders import Folders
from storage.config.settings import LakeSettings, Settings, write_settings
from storage.inbox import segment
from storage.lake.attach import ReadersBusy
from storage.lake.backup import back_up, restore
from storage.lake.writer import DataFolderNotWritable, Writer
from storage.model.schema import table
from storage.platform.failpoints import POINTS, arm
from storage.query.reader import LakeUnreadable, QueryFailed, Reader

__all__ = ["ANY_MOMENT", "POSTGRES_POINTS", "SERVER_POINTS", "SQLITE_POINTS", "Outcome", "sweep"]

SERVERS = 40
BATCHES = 4  # segments a round, each of SERVERS rows, and as many for a table without a key
START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=5)
PATIENCE_S = 60.0
LOOK_EVERY_S = 0.03

ANY_MOMENT = "at any moment"
SERVER, REPLY = "server: ", "COMMIT "
WRITING = ("segment written", "segment synced", "segment renamed")
SQLITE_POINTS = (*POINTS, ANY_MOMENT)
# The catalog's server dies where the writer might have, and around the COMMIT itself.
SERVER_POINTS = (
    *(SERVER + p for p in POINTS if not p.startswith((*WRITING, "backup"))),
    *(REPLY + mode for mode in Proxy.MODES),
)  # fmt: skip

POSTGRES_POINTS = (*SQLITE_POINTS, *SERVER_POINTS)

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
    missed: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        all_killed = self.kills == self.points * self.seeds
        return all_killed and not (self.lost or self.doubled or self.torn)

    def __str__(self) -> str:
        text = f"{self.points} crash points × {self.seeds} seeds, "
        text += f"{self.lost} lost, {self.doubled} doubled"
        return text + (f", readers saw: {self.torn[0]}" if self.torn else "")


def sweep(
    points: Sequence[str], seeds: Sequence[int], tell: Callable[[], None] = lambda: None
) -> Outcome:
    """Each point once a seed, all on one lake a seed, so that one crash may follow another.

    Points of a server are played on a PostgreSQL catalog.
    """
    outcome = Outcome(len(points), len(seeds))
    with ExitStack() as stack:
        workers = stack.enter_context(_workers())
        proxy = None
        if any(p.startswith((SERVER, REPLY)) for p in points):
            cluster = Cluster()
            stack.callback(cluster.close)
            proxy = Proxy(cluster)
            stack.callback(proxy.close)
        for seed in seeds:
            with tempfile.TemporaryDirectory(prefix="hoursight-sweep-") as folder:
                _SweptLake(Path(folder), seed, outcome, workers, proxy).play(points)
            tell()
    return outcome


class _SweptLake:
    """One lake that is crashed again and again."""

    def __init__(
        self, home: Path, seed: int, outcome: Outcome, workers: "_Workers", proxy: Proxy | None
    ) -> None:
        self._home, self._data = home, home / "lake"
        self._dice, self._outcome = random.Random(seed), outcome  # noqa: S311 - dice
        self._workers, self._proxy = workers, proxy
        self._acked: set[int] = set()
        self._numbers = itertools.count()
        if proxy is not None:
            proxy.cluster.create(f"seed{seed}")
            address = f"postgres:host=127.0.0.1 port={proxy.port} user=hoursight dbname=seed{seed}"
            write_settings(self._data, Settings(lake=LakeSettings(address)))
        Writer.open(self._data).close()

    def play(self, points: Sequence[str]) -> None:
        """Crash at each point, in an order of the dice, then count."""
        order = self._dice.sample(points, len(points))
        with _readers(self._data, self._outcome.torn):
            for point in order:
                if self._crash_at(point):
                    self._outcome.kills += 1
                else:
                    self._outcome.missed.append(point)
            self._keep()
        self._count(self._data, self._acked)
        self._count_backups()

    def _crash_at(self, point: str) -> bool:
        """Kill at the point's second time, or at its first where it comes but once a run."""
        return any(self._killed(point, time) for time in (self._dice.randint(1, 2), 1))

    def _killed(self, point: str, time: int) -> bool:
        if point in WRITING:
            numbers = self._next_numbers()
            done = self._work("write", point, time, numbers=numbers)
            self._acked |= set(done.told)
            return done.killed
        _write(self._data, numbers := self._next_numbers(), self._acked.add)
        (Folders.at(self._data).inbox / f"torn-{numbers[0]}.parquet").write_bytes(b"PAR1")
        if point.startswith("backup"):
            return self._work("backup", point, time, archive=str(self._archive(numbers[0]))).killed
        if point.startswith(REPLY):
            return self._keep_and_strike(point.removeprefix(REPLY))
        return self._keep(point, time)

    def _next_numbers(self) -> list[int]:
        return [next(self._numbers) for _ in range(BATCHES)]

    def _keep_and_strike(self, mode: str) -> bool:
        assert self._proxy is not None
        self._proxy.arm(mode)
        self._keep()
        return self._proxy.struck()

    def _keep(self, point: str | None = None, time: int = 1) -> bool:
        """Commit and tidy up in a process of its own until it is killed, or nothing is left."""
        return self._work("keep", point, time).killed

    def _work(self, work: str, point: str | None, time: int, **more: Any) -> "_Done":
        server = self._proxy.cluster.pid if self._proxy else None
        kill_after_s = self._dice.uniform(0, 0.6) if point == ANY_MOMENT else None
        job = {"work": work, "data": str(self._data), "server": server, "point": point}
        return self._workers.do(job | {"time": time} | more, kill_after_s)

    def _archive(self, number: int) -> Path:
        return self._home / f"{number}.tar"

    def _count(self, data: Path, acked: set[int]) -> None:
        """Hold the lake against what was acked; what was cut off in the act may be there or not."""
        reader = Reader.open(data)
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
        self._outcome.lost += len(acked - there) + len(acked - whole)
        self._outcome.doubled += seen["rows"] - seen["distinct_rows"]
        self._outcome.doubled += seen["events"] - seen["distinct_events"]

    def _count_backups(self) -> None:
        """What a killed backup has left must be a whole one or none; the last one has all."""
        last = self._archive(next(self._numbers))
        back_up(self._data, last)
        for archive in sorted(self._home.glob("*.tar")):
            restored = archive.with_suffix("")
            restore(archive, restored)
            self._count(restored, self._acked if archive == last else set())


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
    while not stop.wait(LOOK_EVERY_S):
        try:
            seen = reader.query(SEEN).to_pylist()[0]
        except QueryFailed as error:
            if not error.retryable:
                torn.append(str(error))
            continue
        if seen["rows"] % SERVERS or seen["rows"] != seen["distinct_rows"] or seen["rows"] < rows:
            torn.append(f"{seen} after {rows} rows")
        rows = seen["rows"]
    reader.close()


@dataclass(frozen=True)
class _Done:
    """How a piece of work ended: the numbers that it told, and whether something was killed."""

    told: tuple[int, ...]
    killed: bool


class _Workers:
    """Processes that are forked from one that has its imports done, which saves a second each."""

    def __init__(self, forker: "subprocess.Popen[str]") -> None:
        self._forker = forker

    def do(self, job: dict[str, Any], kill_after_s: float | None) -> _Done:
        """Let a process do a job, and wait for it."""
        assert self._forker.stdin is not None
        assert self._forker.stdout is not None
        print(json.dumps(job), file=self._forker.stdin, flush=True)
        told, killed, timer = [], False, threading.Timer(0, lambda: None)
        for line in self._forker.stdout:
            word, _, value = line.strip().partition(" ")
            if word == "pid":
                timer = threading.Timer(kill_after_s or PATIENCE_S, _end, [int(value)])
                timer.start()
            elif word == "wrote":
                told.append(int(value))
            elif word == "killed-server":
                killed = True
            else:
                break
        timer.cancel()
        if word != "ended" or int(value) not in (0, -signal.SIGKILL):
            raise RuntimeError(f"{job} failed: {line}")
        return _Done(tuple(told), killed or int(value) == -signal.SIGKILL)


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def _workers() -> Iterator[_Workers]:
    command = [sys.executable, "-m", "scripts.tools.crash_sweep", "fork"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as forker:
        yield _Workers(forker)
        assert forker.stdin is not None
        forker.stdin.close()


def _say(word: str, value: int) -> None:
    print(word, value, flush=True)


def _do(job: dict[str, Any]) -> None:
    """What a forked process does."""
    data, point = Path(job["data"]), job["point"]
    if point and point.startswith(SERVER):
        arm(point.removeprefix(SERVER), job["time"], lambda: _kill(job["server"]))
    elif point and point != ANY_MOMENT:
        arm(point, job["time"])
    if job["work"] == "write":
        _write(data, job["numbers"], lambda number: _say("wrote", number))
    elif job["work"] == "backup":
        back_up(data, Path(job["archive"]))
    else:
        _commit_and_tidy(data, patience_s=PATIENCE_S / 2 if job["server"] else 0)


def _kill(server: int) -> None:
    kill_server(server)
    _say("killed-server", server)


def _write(data: Path, numbers: Sequence[int], tell: Callable[[int], None]) -> None:
    """Write one segment for a table with a key and one for a table without; then say so."""
    folders = Folders.at(data)
    for number in numbers:
        when = START + number * STEP
        samples = [{"server": f"s{i}", "ts": when, "load_average": 1.0} for i in range(SERVERS)]
        event = [{"process": f"{number}", "ts": when, "event": "started"}]
        for name, rows in (("metrics", samples), ("processes", event)):
            told = segment.Provenance(table=name, function="sweep", created_at=when)
            segment.write(folders, pa.Table.from_pylist(rows, table(name).arrow), told)
        tell(number)


def _commit_and_tidy(data: Path, patience_s: float) -> None:
    """Commit what waits, with a whole round of maintenance after it and one more."""
    again = _again(patience_s)
    writer: Writer = again(lambda: Writer.open(data))
    now = datetime.now(UTC)
    rounds = 0
    while any(Folders.at(data).inbox.glob("*.parquet")) or rounds < 2:
        again(lambda: writer.commit_waiting(now))
        again(lambda: _tidy(writer, now))
        rounds += 1
    writer.close()


def _tidy(writer: Writer, now: datetime) -> None:
    """A round of maintenance, in which merging may wait for the next one as in the writer's."""
    for piece in writer.maintenance_steps(now):
        with suppress(ReadersBusy):
            piece()


def _again(patience_s: float) -> Callable[[Callable[[], Any]], Any]:
    """Tries until it works, as the writer's process does, while a server may be down."""

    def attempt(work: Callable[[], Any]) -> Any:
        give_up = time.monotonic() + patience_s
        while True:
            try:
                return work()
            except (duckdb.Error, OSError, DataFolderNotWritable, LakeUnreadable):
                if time.monotonic() > give_up:
                    raise
                time.sleep(LOOK_EVERY_S)

    return attempt


@click.group(invoke_without_command=True)
@click.option("--seeds", default=10, show_default=True, help="Rounds over all points.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--catalog", type=click.Choice(["sqlite", "postgres"]), default="sqlite")
@click.pass_context
def main(context: click.Context, seeds: int, first: int, catalog: str) -> None:
    """Sweep over all crash points."""
    if context.invoked_subcommand is not None:
        return
    if catalog == "postgres" and (reason := missing()):
        raise click.ClickException(reason)
    points = POSTGRES_POINTS if catalog == "postgres" else SQLITE_POINTS
    with click.progressbar(length=seeds, label="seeds", file=sys.stderr) as bar:
        total = sweep(points, range(first, first + seeds), lambda: bar.update(1))
    click.echo(f"{total} ({total.kills} kills, catalog: {catalog})")
    if total.missed:
        click.echo(f"not reached: {', '.join(total.missed)}")
    sys.exit(0 if total.clean else 1)


@main.command(hidden=True)
def fork() -> None:
    """Do each job that comes as a line of JSON in a forked process, and tell how it ended."""
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _do(json.loads(line))
            sys.stdout.flush()
            os._exit(0)
        _say("pid", pid)
        _, status = os.waitpid(pid, 0)
        _say("ended", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
