"""An hour's outage of each part, played with the processes themselves and a real mongod.

The hour is one of the data's: documents carry times of some hours ago, so that nobody waits.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

import hoursight
from functions.engine.run_history import LocalRunHistory, RunHistoryEndpoint
from scripts.mongod import DATABASE, Mongod, running
from storage.config.folders import Folders
from storage.config.settings import (
    HostSettings,
    Settings,
    SimulatorSettings,
    SourceSettings,
    write_settings,
)
from storage.ipc.rpc import serve_rpc
from storage.query.reader import LakeMissing
from storage.query.shared_reader import SharedReader

PASSWORD = "of a test"  # noqa: S105 - of a mongod of our own
WITHIN_S = 120.0
SERVERS, STEP, HOUR = 10, timedelta(seconds=20), timedelta(hours=1)
OVERLAP = timedelta(minutes=2)
BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=10)
MODULES = {"writer": ("storage",), "collector": ("functions", "collector")}

pytestmark = pytest.mark.timeout(480)


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with running(tmp_path_factory.mktemp("mongod"), PASSWORD) as server:
        yield server


class OutageScene:
    """A data folder with a source, the processes that serve it, and what its agents have sent.

    One for all tests: each plays on from where the one before it stopped.
    """

    def __init__(self, data: Path, mongod: Mongod) -> None:
        self.data, self.mongod = data, mongod
        self.sent, self.until = 0, BEGAN
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.reader = SharedReader(data)
        none = SourceSettings(HostSettings(False), SimulatorSettings(False))
        write_settings(data, Settings(sources=none))
        (data / "sources").mkdir()
        (data / "password").write_text(PASSWORD)
        (data / "sources" / "fleet.toml").write_text(
            f'kind = "mongodb"\nevery = "1s"\n[connection]\ndatabase = "{DATABASE}"\n'
            f'collection = "samples"\nport = {mongod.port}\nuser = "reader"\n'
            f'password_file = "{data}/password"\ndirect = true\ntimeout = "1s"\n'
        )

    def start(self, *names: str) -> None:
        for name in names:
            command = [sys.executable, "-m", *MODULES[name], "--data", str(self.data)]
            with (self.data / f"{name}.log").open("ab") as log:
                self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, *names: str) -> None:
        """SIGKILL; the adapter's child is killed by itself before its parent."""
        for name in names:
            process = self._processes.pop(name)
            for child in psutil.Process(process.pid).children():
                child.kill()
            process.kill()
            process.wait()

    def kill_child(self) -> None:
        """SIGKILL to the process that speaks to the source, and to nothing else."""
        for child in psutil.Process(self._processes["collector"].pid).children():
            child.kill()

    def end(self) -> None:
        for name in tuple(self._processes):
            self.kill(name)

    def send(self, span: timedelta, *, lost: bool = False) -> None:
        """What the agents have measured since; `lost` says that the source has not kept it."""
        moments = int(span / STEP)
        documents = [
            {"timestamp": self.until + i * STEP, "hostname": f"db{s}", "load1": float(i % 7)}
            for i in range(1, moments + 1) for s in range(SERVERS)
        ]  # fmt: skip
        self.until += moments * STEP
        with self.mongod.admin() as client:
            collection = client[DATABASE]["samples"]
            collection.create_index("timestamp")
            sent = collection.insert_many(documents).inserted_ids
            if lost:
                collection.delete_many({"_id": {"$in": sent}})
        self.sent += 0 if lost else len(documents)

    def sql(self, text: str) -> dict[str, Any]:
        with self.reader.use() as reader:
            row: dict[str, Any] = reader.query(text).to_pylist()[0]
        return row

    def until_all_came(self) -> None:
        """Every document is in the lake, once; what was read again is no more than the overlap."""
        counts = "SELECT count(*) AS n, count(DISTINCT (server, ts)) AS different FROM metrics"
        self.wait(lambda: self.sql(counts)["n"] >= self.sent, "all samples are in the lake")
        assert self.sql(counts) == {"n": self.sent, "different": self.sent}

    def fetched(self) -> int:
        """How many rows were ever handed to the writer."""
        return int(self.sql(
            "SELECT sum(rows_in)::BIGINT AS n FROM segments WHERE table_name = 'metrics'"
        )["n"])  # fmt: skip

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        give_up = time.monotonic() + WITHIN_S
        while time.monotonic() < give_up:
            with suppress(LakeMissing):
                if condition():
                    return
            time.sleep(0.1)
        logs = "\n".join(path.read_text()[-2000:] for path in self.data.glob("*.log"))
        pytest.fail(f"not within {WITHIN_S:g} s: {what}\n{logs}")

    def log(self) -> str:
        return (self.data / "collector.log").read_text()


@pytest.fixture(scope="module")
def scene(mongod: Mongod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutageScene]:
    scene = OutageScene(tmp_path_factory.mktemp("data"), mongod)
    scene.send(timedelta(minutes=15))
    # Of the engine only what a collector asks it at its start; without one it waits ten seconds.
    history = RunHistoryEndpoint(LocalRunHistory(scene.reader))
    with closing(scene.reader), serve_rpc(Folders.at(scene.data).history, history.answer):
        scene.start("writer", "collector")
        try:
            scene.until_all_came()
            yield scene
        finally:
            scene.end()


def without_the_source(scene: OutageScene) -> None:
    scene.mongod.kill()
    scene.wait(lambda: "fleet unreachable: " in scene.log(), "the outage is logged")
    scene.mongod.start()
    scene.send(HOUR)  # its agents had kept it meanwhile


def without_the_child(scene: OutageScene) -> None:
    scene.kill_child()
    scene.send(HOUR)


def without_the_collector(scene: OutageScene) -> None:
    scene.kill("collector")
    scene.send(HOUR)
    scene.start("collector")


def without_the_writer(scene: OutageScene) -> None:
    scene.kill("writer")
    scene.send(HOUR)
    inbox = scene.data / "inbox"
    scene.wait(lambda: list(inbox.glob("*.parquet")), "the inbox holds what the writer misses")
    scene.start("writer")


def without_anything(scene: OutageScene) -> None:
    scene.kill("writer", "collector")
    scene.mongod.kill()
    scene.mongod.start()
    scene.send(HOUR)
    scene.start("writer", "collector")


@pytest.mark.parametrize(
    "outage",
    [
        without_the_source,
        without_the_child,
        without_the_collector,
        without_the_writer,
        without_anything,
    ],
)
def test_after_an_hour_without_a_part_the_gap_is_fetched_once(
    scene: OutageScene, outage: Callable[[OutageScene], None]
) -> None:
    again = scene.fetched() - scene.sent
    outage(scene)
    scene.until_all_came()
    again = scene.fetched() - scene.sent - again
    assert 0 <= again <= SERVERS * (OVERLAP // STEP + 1)


def test_a_collector_that_starts_on_a_damaged_catalog_goes_on_when_it_is_repaired(
    scene: OutageScene,
) -> None:
    scene.kill("collector")
    inbox = scene.data / "inbox"
    scene.wait(lambda: not list(inbox.glob("*.parquet")), "the cursor is in the lake alone")
    scene.kill("writer")
    again = scene.fetched() - scene.sent
    with damaged(scene.data):
        scene.send(HOUR)
        before = len(scene.log())
        scene.start("collector")
        waits = "fleet unreachable: LakeUnreadable: "
        scene.wait(lambda: scene.log()[before:].count(waits) > 1, "it is tried again")
        assert list(inbox.glob("*-metrics-*.parquet")) == []
    scene.wait(lambda: list(inbox.glob("*-metrics-*.parquet")), "the inbox fills after the repair")
    scene.start("writer")
    scene.until_all_came()
    assert 0 <= scene.fetched() - scene.sent - again <= SERVERS * (OVERLAP // STEP + 1)


@contextmanager
def damaged(data: Path) -> Iterator[None]:
    """A catalog that holds nonsense for the time of the context."""
    files = [data / f"catalog.sqlite{end}" for end in ("", "-wal", "-shm")]
    kept = {
        path: path.rename(path.with_name(f"kept-{path.name}")) for path in files if path.exists()
    }
    files[0].write_bytes(b"no database" * 100)
    yield
    files[0].unlink()
    for path, aside in kept.items():
        aside.rename(path)


def test_a_gap_that_the_source_no_longer_has_is_shown(
    scene: OutageScene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.kill("collector")
    before = scene.until
    scene.send(HOUR, lost=True)
    scene.send(timedelta(minutes=5))
    scene.start("collector")
    scene.until_all_came()
    after = before + HOUR + STEP
    hoursight.main(["sources", "--data", str(scene.data)])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"no samples from {before:%H:%M:%S} UTC to {after:%H:%M:%S} UTC (1 h)" in shown
