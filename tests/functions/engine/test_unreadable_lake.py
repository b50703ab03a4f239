"""A lake that cannot be read: nothing is fetched twice, and what can run without it runs."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from functions.engine.executors.subprocess_executor import SubprocessExecutor, WorkerFactory
from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function import Batch, function
from functions.engine.listeners import CommitListener
from functions.engine.runner import Runner
from functions.engine.schedule import LAKE_RETRY_S, Schedule
from functions.engine.scheduler import SourceWorker, run_if_due
from functions.engine.triggers import every
from scripts.tools.postgres_server import Cluster, missing
from storage.config.folders import Folders
from storage.config.settings import (
    HostSettings,
    LakeSettings,
    Settings,
    SourceSettings,
    write_settings,
)
from storage.lake.writer import Writer
from tests.conftest import NOW, LakeFixture
from tests.functions.engine.engine_scenes import Watched, save

WITHIN_S = 60.0
NONSENSE = b"no database" * 100
ON_FILES = """
@function(on=files("drop/*.csv"), writes="server_facts")
def dropped(now, paths):
    return facts(now, sorted(paths)[-1].stem + f"-of-{len(paths)}")
"""


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders.at(tmp_path).create()
    folders.catalog.write_bytes(NONSENSE)
    return folders


def test_a_source_whose_cursor_is_not_known_waits_and_is_not_to_blame(folders: Folders) -> None:
    calls = []

    @function(on=every("1s"), writes="scenarios")
    def source(cursor: str | None) -> Batch:
        calls.append(cursor)
        return Batch()

    run = Runner(folders, Settings(), lambda: NOW).run(source, "test")
    assert (run.outcome, run.waits_for_lake, run.is_fault) == ("unreachable", True, False)
    assert calls == []


def test_a_source_that_needs_no_cursor_runs(folders: Folders) -> None:
    @function(on=every("1s"), writes="scenarios", cursor_required=False)
    def source(cursor: str | None) -> Batch:
        assert cursor is None
        return Batch()

    assert Runner(folders, Settings(), lambda: NOW).run(source, "test").outcome == "nothing"


def test_a_source_whose_cursor_waits_in_the_inbox_goes_on_from_there(house: LakeFixture) -> None:
    calls = []

    @function(on=every("1s"), writes="scenarios")
    def source(cursor: str | None) -> Batch:
        calls.append(cursor)
        return Batch(cursor="7")

    Runner(house.folders, Settings(), lambda: NOW).run(source, "test")
    house.folders.catalog.write_bytes(NONSENSE)
    Runner(house.folders, Settings(), lambda: NOW).run(source, "test")
    assert calls == [None, "7"]


def test_what_waits_for_the_lake_is_tried_again_soon(folders: Folders) -> None:
    @function(on=every("1s"), writes="scenarios")
    def source(cursor: str | None) -> Batch:
        raise AssertionError(cursor)

    clock = [NOW]
    runner = Runner(folders, Settings(), lambda: clock[0])
    schedule = Schedule(source)
    for _ in range(12):
        run_if_due(runner, schedule)
        assert schedule.not_before is not None
        clock[0] = schedule.not_before
    run_if_due(runner, schedule)
    assert waited_s(schedule, clock[0]) <= 1.2 * LAKE_RETRY_S
    assert schedule.faults == 0


def waited_s(schedule: Schedule, now: datetime) -> float:
    assert schedule.not_before is not None
    return (schedule.not_before - now).total_seconds()


def test_a_function_of_files_is_not_handed_all_of_them_again(
    house: LakeFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits until the lake says when it last ran, and comes back by itself."""
    drop, path = house.folders.data / "drop", save(house.folders, "dropped", ON_FILES)
    drop.mkdir()
    (drop / "old.csv").touch()
    source = CodeSource(path=str(path), text=path.read_bytes())
    live(house, source, lambda runner: runner.until_run("dropped"))
    house.commit(datetime.now(NOW.tzinfo))
    (drop / "new.csv").touch()
    catalog = house.folders.catalog
    whole = catalog.rename(catalog.with_suffix(".whole"))
    catalog.write_bytes(NONSENSE)

    def repaired(runner: Watched) -> None:
        until(lambda: "dropped failed: " in caplog.text)
        assert runner.of("dropped") == []
        whole.rename(catalog)
        assert runner.until_run("dropped")["rows_out"] == 1

    live(house, source, repaired)
    house.commit(datetime.now(NOW.tzinfo))
    assert house.one("SELECT list(server ORDER BY ts) FROM server_facts") == [
        "old-of-1",
        "new-of-1",
    ]


def live(house: LakeFixture, source: CodeSource, scene: Callable[[Watched], object]) -> None:
    """Let a source live while the scene is played."""
    runner, stop = Watched(house.folders), threading.Event()
    executor = SubprocessExecutor(WorkerFactory(house.folders, Settings()), source)
    source_worker = SourceWorker(runner, executor, CommitListener(house.folders, stop))
    source_worker.start()
    try:
        scene(runner)
    finally:
        stop.set()
        source_worker.stop()
        runner.flush()


def until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < give_up, "not in time"
        time.sleep(0.05)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.timeout(240)
def test_a_collector_that_starts_while_postgresql_is_down_collects_when_it_is_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    pytest.importorskip("duckdb_extension_postgres_scanner", reason="needs the extra 'postgres'")
    cluster.create("lake")
    address = f"postgres:host=127.0.0.1 port={cluster.port} user=hoursight dbname=lake"
    sources = SourceSettings(HostSettings(False))
    write_settings(tmp_path, Settings(sources=sources, lake=LakeSettings(address)))
    with closing(Writer.open(tmp_path)):
        pass
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "dropped.toml").write_text('kind = "files"\nevery = "1s"\n')
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "a.csv").write_text("ts,host,load\n2026-05-06T12:00:00Z,a,1\n")
    cluster.take_down()
    log, inbox = tmp_path / "log", tmp_path / "inbox"
    command = [sys.executable, "-m", "functions", "collect", "--data", str(tmp_path)]
    with log.open("wb") as output:
        collector = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        until(lambda: log.read_text().count("dropped unreachable: LakeUnreadable: ") > 1)
        assert collector.poll() is None
        assert list(inbox.glob("*-metrics-*.parquet")) == []
        cluster.bring_up()
        until(lambda: list(inbox.glob("*-metrics-*.parquet")))
    finally:
        collector.terminate()
        collector.wait(WITHIN_S)
