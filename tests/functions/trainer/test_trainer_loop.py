import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from functions.engine.run_history import LocalRunHistory, RunHistoryEndpoint
from functions.trainer import trainer_loop
from functions.trainer.trainer_loop import (
    DueTraining,
    Trainer,
    due_training,
    missing_extra,
    training_command,
)
from storage.config.folders import Folders
from storage.ipc.rpc import NotRunning, serve_rpc
from storage.query.shared_reader import SharedReader
from tests.conftest import NOW, LakeFixture

WITHIN_S = 60.0
SLEEP = "import time; open({file!r}, 'w').close(); time.sleep(600)"

pytestmark = pytest.mark.timeout(240)


def until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < give_up, "not in time"
        time.sleep(0.05)


class Process:
    """A trainer in a thread, whose trainings run a line of Python."""

    def __init__(self, data: Path, code: str, event: str = "due", training: str = "t1") -> None:
        self.folders = Folders.at(data).create()
        self.asked = 0
        self.stop = threading.Event()
        self._event, self._training = event, training
        trainer = Trainer(self.folders, self._due, lambda _: [sys.executable, "-c", code])
        self._thread = threading.Thread(target=trainer.run, args=(self.stop,))
        self._thread.start()

    def _due(self) -> DueTraining:
        self.asked += 1
        return DueTraining(self._training, self._event)

    def end(self) -> None:
        self.stop.set()
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()

    def rows(self) -> list[dict[str, Any]]:
        paths = self.folders.inbox.glob("*trainings*.parquet")
        return [row for path in paths for row in pq.read_table(path).to_pylist()]


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "time.sleep(600)" in " ".join(p.cmdline())]


def test_a_training_runs_at_low_priority_and_a_stop_ends_it_without_a_row(tmp_path: Path) -> None:
    began = tmp_path / "began"
    running = Process(tmp_path / "var", SLEEP.format(file=str(began)))
    until(began.exists)
    (child,) = children()
    assert child.nice() == 19
    assert child.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
    assert Path(f"/proc/{child.pid}/oom_score_adj").read_text().strip() == "800"
    running.end()
    assert not child.is_running()
    assert running.rows() == []


def test_a_training_that_is_killed_is_recorded_and_not_started_again(tmp_path: Path) -> None:
    began = tmp_path / "began"
    running = Process(tmp_path / "var", SLEEP.format(file=str(began)))
    until(began.exists)
    began.unlink()
    children()[0].kill()
    until(running.rows)
    (row,) = running.rows()
    assert (row["training"], row["event"]) == ("t1", "failed")
    assert row["reason"].startswith("the process of the training was ended by SIGKILL: the system")
    (running.folders.announce / "trainings").touch()
    until(lambda: running.asked > 1)
    running.end()
    assert not began.exists()


@pytest.mark.parametrize(("event", "rows"), [("due", 1), ("unable", 0)])
def test_a_host_without_the_train_extra_says_so_once_and_how_to_get_it(
    tmp_path: Path, event: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_loop, "TRAIN_EXTRA", ("json", "no_such_package"))
    assert missing_extra() == "no_such_package"
    running = Process(tmp_path, "raise SystemExit('must not run')", event)
    until(lambda: running.asked)
    until(lambda: len(running.rows()) == rows)
    running.end()
    for row in running.rows():
        assert row["event"] == "unable"
        assert row["reason"].startswith("no_such_package is not installed on this host: pip inst")


def test_a_warm_start_needs_no_train_extra_and_runs_its_own_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_loop, "TRAIN_EXTRA", ("json", "no_such_package"))
    began = tmp_path / "began"
    running = Process(tmp_path / "var", f"open({str(began)!r}, 'w')", training="t1-history")
    until(began.exists)
    running.end()
    assert running.rows() == []
    assert "warmstart" in training_command(running.folders, "t1-history")
    assert "warmstart" not in training_command(running.folders, "t1-loss")


def test_the_engine_names_the_training_that_is_due_or_was_cut_off(house: LakeFixture) -> None:
    with pytest.raises(NotRunning):
        due_training(house.folders)
    with serve_rpc(house.folders.history, lambda _: (503, b"")), pytest.raises(NotRunning):
        due_training(house.folders)
    events = [("a", "due", "loss"), ("a", "started", None), ("b", "promoted", "loss"),
              ("c", "progress", "command"), ("d", "postponed", "loss")]  # fmt: skip
    for n, (training, event, cause) in enumerate(events):
        row = {"training": training, "ts": NOW.replace(second=n), "event": event, "cause": cause}
        house.put("trainings", [row])
    house.commit()
    history = LocalRunHistory(SharedReader(house.folders.data))
    with serve_rpc(house.folders.history, RunHistoryEndpoint(history).answer):
        assert due_training(house.folders) == DueTraining("a", "started")
