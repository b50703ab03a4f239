"""Processes of the crash sweep that write, commit and back up, each killed at a failpoint.

`python -m scripts.tools.crash_workers` reads a job as a line of JSON, does it in a forked process,
and prints `pid N`, `wrote N` for each segment pair, `killed-server N` and at last `ended CODE`.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from scripts.python_process import module_command, module_environment
from scripts.tools.crash_deliveries import deliver_episodes
from scripts.tools.postgres_server import kill_server
from storage.config.folders import Folders
from storage.inbox import segment
from storage.lake.attach import ReadersBusy
from storage.lake.backup import back_up
from storage.lake.catalog_holder import hold_catalog_open
from storage.lake.catalog_snapshots import take_snapshot
from storage.lake.rebuild import rebuild
from storage.lake.writer import DataFolderNotWritable, Writer
from storage.model.schema import table
from storage.platform.failpoints import arm
from storage.query.reader import LakeUnreadable

__all__ = [
    "AT_ANY_TIME", "FIRST", "LATER", "LATER_BY", "SERVER", "SERVERS", "START", "STEP", "JobResult",
    "Workers", "workers", "write_segments",
]  # fmt: skip

SERVERS = 40  # rows of each segment for `metrics`
FIRST, LATER = "load_average", "mem_used_pct"  # metrics of the same rows that come in two segments
LATER_BY = 4  # numbers: by then the row is in the lake, and is completed there
START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=5)
JOB_S = 60.0
RETRY_AFTER_S = 0.03

AT_ANY_TIME = "at any time"
SERVER = "server: "  # prefix of the failpoints at which the server of the catalog is killed


@dataclass(frozen=True)
class JobResult:
    """How a job ended: the numbers of the segments that were written, and whether it was killed."""

    written: tuple[int, ...]
    killed: bool


class Workers:
    """Processes forked from one that has done its imports, which saves a second for each."""

    def __init__(self, forker: "subprocess.Popen[str]") -> None:
        self._forker = forker

    def run(self, job: dict[str, Any], kill_after_s: float | None) -> JobResult:
        """Let a process do a job, and wait for its end. Raises RuntimeError when the job failed."""
        assert self._forker.stdin is not None
        assert self._forker.stdout is not None
        print(json.dumps(job), file=self._forker.stdin, flush=True)
        written, killed, timer = [], False, threading.Timer(0, lambda: None)
        for line in self._forker.stdout:
            word, _, value = line.strip().partition(" ")
            if word == "pid":
                timer = threading.Timer(kill_after_s or JOB_S, _kill, [int(value)])
                timer.start()
            elif word == "wrote":
                written.append(int(value))
            elif word == "killed-server":
                killed = True
            else:
                break
        timer.cancel()
        if word != "ended" or int(value) not in (0, -signal.SIGKILL):
            raise RuntimeError(f"{job} failed: {line}")
        return JobResult(tuple(written), killed or int(value) == -signal.SIGKILL)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def workers() -> Iterator[Workers]:
    """Start the process from which the workers are forked; it ends with the context."""
    with subprocess.Popen(
        module_command("scripts.tools.crash_workers"), env=module_environment(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as forker:  # fmt: skip
        yield Workers(forker)
        assert forker.stdin is not None
        forker.stdin.close()


def write_segments(data: Path, numbers: Sequence[int], on_written: Callable[[int], None]) -> None:
    """Write a segment for a table without a key and two for one with a key, for each number.

    The second of them completes the rows of an earlier number.
    """
    folders = Folders.at(data)
    for number in numbers:
        ts = START + number * STEP
        event = [{"process": f"{number}", "ts": ts, "event": "started"}]
        parts = [("metrics", _samples(number, FIRST)), ("processes", event)]
        if number >= LATER_BY:
            parts.append(("metrics", _samples(number - LATER_BY, LATER)))
        for name, rows in parts:
            provenance = segment.Provenance(table=name, function="sweep", created_at=ts)
            segment.write(folders, pa.Table.from_pylist(rows, table(name).arrow), provenance)
        on_written(number)


def _samples(number: int, metric: str) -> list[dict[str, Any]]:
    ts = START + number * STEP
    return [{"server": f"s{i}", "ts": ts, metric: 1.0} for i in range(SERVERS)]


def _print(word: str, value: int) -> None:
    print(word, value, flush=True)


def _run_job(job: dict[str, Any]) -> None:
    data, point = Path(job["data"]), job["point"]
    if point and point.startswith(SERVER):
        arm(point.removeprefix(SERVER), job["time"], lambda: _kill_server(job["server"]))
    elif point and point != AT_ANY_TIME:
        arm(point, job["time"])
    if job["work"] == "write":
        write_segments(data, job["numbers"], lambda number: _print("wrote", number))
    elif job["work"] == "backup":
        back_up(data, Path(job["archive"]))
    elif job["work"] == "rebuild":
        rebuild(data, files_only=job["files_only"], force=True)
    elif job["work"] == "deliver":
        logging.disable(logging.WARNING)  # a receiver that fails is what is meant
        deliver_episodes(data, job["numbers"], job["job_number"], job["url"])
    elif job["work"] == "snapshot":
        _take_snapshot(Folders.at(data))
    else:
        _commit_and_maintain(data, retry_for_s=JOB_S / 2 if job["server"] else 0)


def _take_snapshot(folders: Folders) -> None:
    with hold_catalog_open(folders) as holder:
        assert holder is not None
        take_snapshot(folders, holder.copy, datetime.now(UTC))


def _kill_server(pid: int) -> None:
    kill_server(pid)
    _print("killed-server", pid)


def _commit_and_maintain(data: Path, retry_for_s: float) -> None:
    """Commit what waits, with a whole round of maintenance after it and one more."""
    retry = _retrying(retry_for_s)
    writer: Writer = retry(lambda: Writer.open(data))
    now = datetime.now(UTC)
    rounds = 0
    while any(Folders.at(data).inbox.glob("*.parquet")) or rounds < 2:
        retry(lambda: writer.commit_waiting(now))
        retry(lambda: _maintain(writer, now))
        rounds += 1
    writer.close()


def _maintain(writer: Writer, now: datetime) -> None:
    """Do a round of maintenance; a merge that readers prevent waits for the next round."""
    for step in writer.maintenance_steps(now):
        with suppress(ReadersBusy):
            step()


def _retrying(for_s: float) -> Callable[[Callable[[], Any]], Any]:
    """Return a function that tries until it works, as the writer does while a server is down."""

    def attempt(work: Callable[[], Any]) -> Any:
        give_up = time.monotonic() + for_s
        while True:
            try:
                return work()
            except (duckdb.Error, OSError, DataFolderNotWritable, LakeUnreadable):
                if time.monotonic() > give_up:
                    raise
                time.sleep(RETRY_AFTER_S)

    return attempt


def main() -> None:
    """Do each job that comes as a line of JSON in a forked process, and print how it ended."""
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _run_job(json.loads(line))
            sys.stdout.flush()
            os._exit(0)
        _print("pid", pid)
        _, status = os.waitpid(pid, 0)
        _print("ended", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
