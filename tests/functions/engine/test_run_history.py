import subprocess
import sys
from pathlib import Path

import pytest

from functions.engine.executors.subprocess_executor import WorkerFactory
from functions.engine.function import Declared
from functions.engine.run_history import Elsewhere, Here, Rows
from functions.engine.runner import Runner
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.query.shared_reader import SharedReader
from tests.conftest import NOW, LakeFixture

RUNS = "SELECT * FROM runs WHERE function = $name"


class Nobody:
    """Takes no question."""

    def rows(self, sql: str, **parameters: str | int) -> Rows:
        raise AssertionError(sql, parameters)


def elsewhere(folders: Folders) -> Elsewhere:
    return Elsewhere(WorkerFactory(folders, Settings()), lambda: NOW, otherwise=Nobody())


def test_asked_elsewhere_the_past_is_the_same_also_after_a_rest(house: LakeFixture) -> None:
    run = {"run_id": "1", "function": "f", "ts": NOW, "outcome": "failed", "cpu_s": 0.5}
    house.put("runs", [run])
    house.commit()
    here, there = Here(SharedReader(house.folders.data)), elsewhere(house.folders)
    expected = here.rows(RUNS, name="f")
    assert expected[0]["ts"] == NOW
    for _ in range(2):
        assert there.rows(RUNS, name="f") == expected
        there.close()


def test_where_there_is_no_lake_there_is_no_past(tmp_path: Path) -> None:
    there = elsewhere(Folders.at(tmp_path).create())
    assert there.rows(RUNS, name="f") == []
    there.close()


def test_who_finds_no_child_to_ask_looks_itself(
    house: LakeFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    runner = Runner(
        house.folders, Settings(), lambda: NOW, WorkerFactory(house.folders, Settings())
    )
    declared = Declared("f", (), ("metrics",), "", (), "hash")
    run = {"run_id": "1", "function": "f", "code_hash": "hash", "ts": NOW, "outcome": "failed"}
    house.put("runs", [run])
    house.commit()
    assert runner.ledger.standing(declared).failures == 1


def test_a_process_that_only_starts_children_does_not_load_the_engine() -> None:
    code = "import sys, functions.__main__; sys.exit('duckdb' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
