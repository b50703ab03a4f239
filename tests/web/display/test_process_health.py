"""Processes that run but do not respond."""

import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.platform.process_usage import started_at
from storage.query.reader import Reader
from tests.web.site_lakes import SiteLakeWriter
from web.display.problems import Problem
from web.display.process_health import process_health
from web.lake_session import sql


@pytest.fixture
def process(lake: SiteLakeWriter) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that the log names as the writer."""
    process = subprocess.Popen(["sleep", "60"])
    row = {"process": "writer", "event": "started", "pid": process.pid, "detail": None}
    lake.insert("processes", [row | {"ts": started_at(process.pid)}])
    yield process
    process.kill()
    process.wait()


def problems(lake: SiteLakeWriter, later: timedelta = timedelta()) -> list[Problem]:
    reader = Reader.open(lake.folders.data)
    processes = reader.query(sql("telemetry_processes")).to_pylist()
    found = list(process_health(processes, lake.folders, datetime.now(UTC) + later))
    reader.close()
    return found


def beat(lake: SiteLakeWriter, name: str) -> None:
    path: Path = lake.folders.heartbeats / name
    path.parent.mkdir(exist_ok=True)
    path.touch()


@pytest.mark.usefixtures("process")
def test_a_process_that_beats_is_well(lake: SiteLakeWriter) -> None:
    assert problems(lake) == []
    beat(lake, "writer")
    assert problems(lake, timedelta(minutes=2)) == []


def test_a_process_that_is_silent_is_named_with_the_way_to_restart_it(
    lake: SiteLakeWriter, process: "subprocess.Popen[bytes]"
) -> None:
    beat(lake, "writer")
    (problem,) = problems(lake, timedelta(minutes=4))
    assert problem.headline.startswith("writer has not responded for 4 min")
    assert f"(process {process.pid})" in problem.headline
    assert f"kill {process.pid}" in problem.remedy
    assert "segments wait in the inbox" in problem.remedy


def test_a_stopped_process_is_named_with_the_way_to_let_it_go_on(
    lake: SiteLakeWriter, process: "subprocess.Popen[bytes]"
) -> None:
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    (problem,) = problems(lake)
    assert problem.headline == f"writer is stopped by a signal (process {process.pid})"
    assert f"kill -CONT {process.pid}" in problem.remedy


def test_an_ended_process_and_one_of_another_host_are_not_judged(
    lake: SiteLakeWriter, process: "subprocess.Popen[bytes]"
) -> None:
    beat(lake, "writer")
    process.kill()
    process.wait()
    assert problems(lake, timedelta(minutes=4)) == []
