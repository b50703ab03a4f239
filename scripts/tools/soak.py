"""The whole system under load, with functions that misbehave beside it; counts what is there.

    python -m scripts.tools.soak --servers 1000 --minutes 10

Starts writer, collector and engine in a folder of their own: simulated servers send every 5 s, four
functions crash, leak, hang and raise, a reader queries throughout. At the end every (server,
instant) must be there exactly once. Exits with 1 when that is not so, or when something piled up.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
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

__all__ = ["Account", "Sight", "account", "soak"]

LIVE_STEP_S = 5
LOOK_EVERY_S = 1.0
SAVE_EVERY_S = 30.0
PATIENCE_S = 120.0
HISTORY_DAYS = 0.02  # half an hour, all of it every 5 s
# A backlog is flat when its last third holds, in the middle, no more than this beyond its first.
FLAT_SEGMENTS = 2

ROOMS = {
    "writer": ["storage"],
    "collector": ["functions", "collector"],
    "engine": ["functions", "engine"],
}

HEAD = """
import os, time
from hoursight import every, function

@function(on=every("5s"), writes="server_facts", deadline="{deadline}", memory_mb=300)
def {name}():
    "Misbehaves."
    {body}
"""
# What each does, within which deadline, and how its runs have to end.
MISCHIEF = {
    "crashes": ("os.abort()", "10s", "crashed"),
    "leaks": (
        "held = []\n    while True: held.append(os.urandom(1000) * 1000)", "20s", "out of memory",
    ),
    "hangs": ("while True: time.sleep(60)", "2s", "timed out"),
    "raises": ('return {}["no such key"]', "10s", "failed"),
}  # fmt: skip

COUNTS = """
SELECT count(*) AS rows, count(DISTINCT (server, ts)) AS distinct_rows,
    count(DISTINCT ts) AS instants, epoch(max(ts) - min(ts)) AS span_s
FROM metrics
"""
TORN = "SELECT count(*) AS n FROM (SELECT ts FROM metrics GROUP BY ts HAVING count(*) != $servers)"
LEDGER = """
SELECT sum(rows_in) AS rows_in, sum(rows_committed) AS rows_committed,
    count(*) FILTER (outcome != 'committed') AS rejected
FROM segments WHERE table_name = 'metrics'
"""


@dataclass
class Sight:
    """What was seen while it ran."""

    backlog: list[int] = field(default_factory=list)
    age_s: list[float] = field(default_factory=list)
    rss_mb: dict[str, list[float]] = field(default_factory=dict)
    queries: int = 0
    troubles: list[str] = field(default_factory=list)

    @property
    def flat(self) -> bool:
        """Whether the backlog at the end was what it was at the beginning."""
        third = max(1, len(self.backlog) // 3)
        first, last = self.backlog[:third], self.backlog[-third:]
        return not last or median(last) <= median(first) + FLAT_SEGMENTS


@dataclass(frozen=True)
class Account:
    """What is in the lake, held against what was sent."""

    expected: int
    rows: int
    distinct_rows: int
    refused: int

    @property
    def lost(self) -> int:
        """Samples that are not there."""
        return self.expected - self.distinct_rows + self.refused

    @property
    def doubled(self) -> int:
        """Samples that are there again."""
        return self.rows - self.distinct_rows


def account(reader: Reader, servers: int) -> Account:
    """Every server sends at each full 5 s from the first sample to the last: count those."""
    seen, ledger = (reader.query(sql).to_pylist()[0] for sql in (COUNTS, LEDGER))
    instants = round(seen["span_s"] or 0) // LIVE_STEP_S + 1
    refused = ledger["rejected"] + ledger["rows_in"] - ledger["rows_committed"]
    return Account(servers * instants, seen["rows"], seen["distinct_rows"], int(refused))


def soak(data: Path, servers: int, minutes: float) -> tuple[Account, Sight]:
    """Run for so many minutes, let the writer finish, and count."""
    folders = Folders.at(data).create()
    simulator = SimulatorSettings(enabled=True, servers=servers, history_days=HISTORY_DAYS)
    write_settings(data, Settings(sources=SourceSettings(HostSettings(False), simulator)))
    sight = Sight()
    with _running(data) as rooms:
        with _reader_of(data) as reader:
            _look_on(folders, reader, rooms, servers, minutes, sight)
        _stop(rooms.pop("collector"))
        _until(lambda: not _waiting(folders), "the writer takes what waits")
        _stop(rooms.pop("engine"))
        _until(lambda: not _waiting(folders), "the writer takes what waits")
    with closing(Reader.open(data)) as reader:
        sight.troubles += _missing_outcomes(reader)
        return account(reader, servers), sight


def _save_mischief(folders: Folders) -> None:
    """Save the four anew, as a user who tries to mend them: what was parked runs again."""
    folders.functions.mkdir(exist_ok=True)
    for name, (body, deadline, _) in MISCHIEF.items():
        text = HEAD.format(name=name, body=body, deadline=deadline)
        (folders.functions / f"{name}.py").write_text(f"{text}# saved at {time.time()}\n")


@contextmanager
def _running(data: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The processes of the Procfile but the site, each with its log in the folder."""
    rooms: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, module in ROOMS.items():
            with (data / f"{name}.log").open("wb") as log:
                rooms[name] = subprocess.Popen(
                    module_command(*module, "--data", data), env=module_environment(),
                    stdout=log, stderr=subprocess.STDOUT,
                )  # fmt: skip
        yield rooms
    finally:
        for process in rooms.values():
            _stop(process)


@contextmanager
def _reader_of(data: Path) -> Iterator[Reader]:
    """A reader of the lake, once there are samples in it."""
    found: list[Reader] = []

    def sampled() -> bool:
        # The writer makes the lake and its tables while this looks.
        with suppress(LakeMissing, LakeUnreadable, QueryFailed):
            found[:] = found or [Reader.open(data)]
            return _newest(found[0]) is not None
        return False

    try:
        _until(sampled, "the first samples")
        yield found[0]
    finally:
        for reader in found:
            reader.close()


def _look_on(
    folders: Folders,
    reader: Reader,
    rooms: dict[str, subprocess.Popen[bytes]],
    servers: int,
    minutes: float,
    sight: Sight,
) -> None:
    """Query, count what waits and weigh the processes until the time is over."""
    over, saved = time.monotonic() + 60 * minutes, 0.0
    with click.progressbar(length=round(60 * minutes), label="soak", file=sys.stderr) as bar:
        while (left := over - time.monotonic()) > 0:
            bar.update(round(60 * minutes - left) - bar.pos)
            if time.monotonic() - saved > SAVE_EVERY_S:
                saved = time.monotonic()
                _save_mischief(folders)
            sight.backlog.append(_waiting(folders))
            _query(reader, servers, sight)
            for name, process in rooms.items():
                if process.poll() is not None:
                    sight.troubles.append(f"{name} ended with {process.returncode}")
                    return
                _weigh(name, process.pid, sight)
            time.sleep(LOOK_EVERY_S)


def _query(reader: Reader, servers: int, sight: Sight) -> None:
    sight.queries += 1
    try:
        if reader.query(TORN, servers=servers)["n"][0].as_py():
            sight.troubles.append("a reader saw half a batch")
        newest = _newest(reader)
    except QueryFailed as error:
        sight.troubles.append(str(error))
        return
    if newest is not None:
        sight.age_s.append((datetime.now(UTC) - newest).total_seconds())


def _newest(reader: Reader) -> datetime | None:
    found: datetime | None = reader.query("SELECT max(ts) AS ts FROM metrics")["ts"][0].as_py()
    return found


def _waiting(folders: Folders) -> int:
    return sum(1 for _ in folders.inbox.glob("*.parquet"))


def _weigh(name: str, pid: int, sight: Sight) -> None:
    """Resident sizes: of the room itself, and of its largest child."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        sight.rss_mb.setdefault(name, []).append(process.memory_info().rss / 2**20)
    if name == "collector":
        with suppress(psutil.Error, ValueError):
            largest = max(child.memory_info().rss for child in process.children())
            sight.rss_mb.setdefault("simulator", []).append(largest / 2**20)


def _missing_outcomes(reader: Reader) -> Iterator[str]:
    """Which of the four did not end as it was made to."""
    for name, (*_, outcome) in MISCHIEF.items():
        sql = "SELECT DISTINCT outcome FROM runs WHERE function = $name"
        seen = reader.query(sql, name=name)["outcome"].to_pylist()
        if seen != [outcome]:
            yield f"{name} ended as {seen}, not as {outcome!r}"


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


def _tell(found: Account, sight: Sight) -> None:
    click.echo(
        f"{found.expected:,} samples sent, {found.lost} lost, {found.doubled} doubled; "
        f"{sight.queries} looks of a reader, {len(sight.troubles)} troubles"
    )
    for trouble in sight.troubles[:5]:
        click.echo(f"trouble: {trouble}")
    ages = sorted(sight.age_s) or [float("nan")]
    click.echo(
        f"backlog: {median(sight.backlog):g} segments in the middle, {max(sight.backlog)} at most, "
        f"{'flat' if sight.flat else 'growing'}; newest sample "
        f"{ages[len(ages) // 2]:.1f} s old in the middle, {ages[-1]:.1f} s at most"
    )
    rows = []
    for name, sizes in sight.rss_mb.items():
        third = max(1, len(sizes) // 3)
        cells = (max(sizes[:third]), max(sizes[-third:]), max(sizes))
        rows.append([name, *(f"{size:.0f}" for size in cells)])
    print_grid(["process", "MB, first third", "last third", "at most"], rows)


@click.command()
@click.option("--servers", default=1000, show_default=True, help="Size of the fleet.")
@click.option("--minutes", default=10.0, show_default=True, help="How long.")
@click.option("--keep", is_flag=True, help="Leave the data folder and its logs.")
def main(servers: int, minutes: float, keep: bool) -> None:
    """Soak the system, and count."""
    data = Path(tempfile.mkdtemp(prefix="hoursight-soak-"))
    try:
        found, sight = soak(data, servers, minutes)
        _tell(found, sight)
        for name in MISCHIEF:
            click.echo()
            for line in why(runner_of(data), name):
                click.echo(line)
    finally:
        if keep:
            click.echo(f"everything is in {data}")
        else:
            shutil.rmtree(data, ignore_errors=True)
    clean = not (found.lost or found.doubled or sight.troubles) and sight.flat
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
