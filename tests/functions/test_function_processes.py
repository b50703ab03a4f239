"""The processes `collector` and `engine`, as they are started."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.config.settings import HostSettings, Settings, SourceSettings, write_settings
from tests.conftest import LakeFixture

WITHIN_S = 60.0


@contextmanager
def process(data: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    with (data / f"{name}.log").open("wb") as output:
        command = [sys.executable, "-m", "functions", name, "--data", str(data)]
        running = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(WITHIN_S)


def until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < give_up, "not in time"
        time.sleep(0.1)


def libraries(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def test_a_collector_asks_the_engine_for_earlier_runs_and_loads_no_database_engine(
    house: LakeFixture,
) -> None:
    write_settings(house.folders.data, Settings(sources=SourceSettings(HostSettings(True))))
    inbox = house.folders.inbox
    with process(house.folders.data, "collector") as collector:
        with process(house.folders.data, "engine") as engine:
            until(lambda: list(inbox.glob("*-host-metrics-*.parquet")))
            assert "duckdb" in libraries(engine.pid)
        assert "duckdb" not in libraries(collector.pid)


@pytest.mark.parametrize("name", ["collect", "think"])
def test_the_names_of_the_release_before_start_the_same_processes(
    tmp_path: Path, name: str
) -> None:
    log = tmp_path / f"{name}.log"
    with process(tmp_path, name) as running:
        socket = {"collect": "feed.sock", "think": "calls.sock"}[name]
        until(lambda: (tmp_path / socket).exists())
        assert running.poll() is None
    assert "Traceback" not in log.read_text()
