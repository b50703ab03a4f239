"""When a start is ready: with forecasts, or when it is known why there are none."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from functions.engine.runner import Runner
from functions.forecast import forecast
from functions.rollup import rollup
from scripts.ports import free_port
from scripts.start_progress import ProgressReader, StartProgress
from storage.config.settings import Settings, SimulatorSettings, SourceSettings, write_settings
from storage.inbox import segment
from storage.model.schema import table
from tests.conftest import LakeFixture

URL = "http://127.0.0.1:1"


def samples(
    house: LakeFixture,
    server: str,
    minutes: int,
    ago: timedelta = timedelta(0),
    source: str = "host",
) -> None:
    """One sample a minute, the newest so long ago, that a source has brought just now."""
    now = datetime.now(UTC)
    rows = [
        {"server": server, "ts": now - ago - timedelta(minutes=i), "source": source}
        for i in range(minutes)
    ]
    table_rows = pa.Table.from_pylist(
        [row | {"mem_used_pct": 50.0} for row in rows], table("metrics").arrow
    )
    segment.write(house.folders, table_rows, segment.Provenance("metrics", source, now))
    house.commit(now)


def run(house: LakeFixture, *functions) -> None:
    for function in functions:
        runner = Runner(house.folders, Settings())
        assert runner.run(function, "test").error is None
        house.commit(datetime.now(UTC))


def read_progress(data: Path) -> StartProgress:
    with closing(ProgressReader(data)) as reader:
        return reader.read()


def outcome(house: LakeFixture) -> str | None:
    return read_progress(house.folders.data).outcome(URL, 1.0)


def test_without_a_lake_nothing_is_ready(tmp_path: Path) -> None:
    assert read_progress(tmp_path) == StartProgress()
    assert StartProgress().outcome(URL, 1.0) is None


def test_a_fleet_whose_history_is_being_loaded_is_not_ready_and_says_how_far_it_is(
    house: LakeFixture,
) -> None:
    samples(house, "box", 12)
    samples(house, "fleet-1", 600, ago=timedelta(days=3), source="fleet")
    run(house, rollup, forecast)
    assert house.one("SELECT count(DISTINCT server) FROM forecasts") == 2
    assert outcome(house) is None
    assert "fleet loads history, up to" in str(read_progress(house.folders.data))


def test_samples_that_suffice_are_waited_for_until_they_are_forecast(house: LakeFixture) -> None:
    samples(house, "box", 12)
    run(house, rollup, forecast)
    samples(house, "fleet-1", 90)
    assert outcome(house) is None
    run(house, rollup, forecast)
    assert outcome(house) == f"Ready after 1 s: {URL}"


def test_a_host_that_still_collects_is_started_and_says_what_is_missing(house: LakeFixture) -> None:
    samples(house, "box", 12)
    assert outcome(house) is None
    run(house, rollup, forecast)
    said = outcome(house)
    assert said.startswith(f"Started after 1 s: {URL}. No forecasts yet: collecting, ")
    assert "the first forecast needs 12" in said


def test_a_refused_model_is_named_as_the_obstacle(house: LakeFixture) -> None:
    (house.folders.models / "serving.onnx").write_bytes(b"torn")
    samples(house, "box", 90)
    run(house, rollup, forecast)
    assert "No forecasts yet: the model was refused: " in outcome(house)


def test_a_simulator_that_has_brought_nothing_yet_is_waited_for(house: LakeFixture) -> None:
    simulated = SourceSettings(simulator=SimulatorSettings(enabled=True))
    write_settings(house.folders.data, Settings(sources=simulated))
    samples(house, "box", 12)
    run(house, rollup, forecast)
    assert outcome(house) is None


@contextmanager
def demo(data: Path, servers: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "hoursight", "demo", "--data", str(data)]
    with subprocess.Popen(
        [*command, "--port", str(free_port()), "--servers", str(servers)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        overdue = threading.Timer(270, process.kill)
        overdue.start()
        try:
            yield process
        finally:
            overdue.cancel()
            os.kill(process.pid, signal.SIGINT)
            process.communicate(timeout=60)


@pytest.mark.timeout(400)
def test_a_demo_whose_history_comes_in_portions_is_ready_only_with_forecasts(
    tmp_path: Path,
) -> None:
    said = []
    with demo(tmp_path / "var", servers=60) as process:
        for line in process.stdout:
            said.append(line.strip())
            if "Ready after" in line or "Started after" in line:
                break
    assert said[-1].startswith("Ready after"), said
    assert any("simulator loads history, up to" in line for line in said), said
    counted = [line for line in said if "forecasts for" in line]
    assert "forecasts for 0" in counted[0]
    assert "forecasts for 0" not in counted[-1]
