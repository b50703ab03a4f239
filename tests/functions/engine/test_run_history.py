"""Earlier runs: read from the lake in this process, or asked of the engine process."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from functions.engine.run_history import (
    EngineRunHistory,
    HistoryQuery,
    LocalRunHistory,
    Rows,
    RunHistory,
    RunHistoryEndpoint,
)
from storage.config.folders import Folders
from storage.errors import LakeUnreadable
from storage.ipc.rpc import serve_rpc
from storage.query.shared_reader import SharedReader
from tests.conftest import NOW, LakeFixture

WITHIN_S = 40.0
RUN = {"run_id": "1", "function": "f", "ts": NOW, "outcome": "failed", "cpu_s": 0.5}


class NoFallback:
    """Fails the test when it is asked."""

    def rows(self, query: HistoryQuery, **parameters: str | int) -> Rows:
        raise AssertionError(query, parameters)


class AwayHistory:
    """A lake that cannot be read, which counts the queries."""

    queries = 0

    def rows(self, query: HistoryQuery, **_parameters: str | int) -> Rows:
        self.queries += 1
        raise LakeUnreadable(f"no {query}", "repair it")


def engine_history(folders: Folders, starts_within_s: float = WITHIN_S) -> EngineRunHistory:
    return EngineRunHistory(folders, NoFallback(), starts_within_s)


def local(folders: Folders) -> LocalRunHistory:
    return LocalRunHistory(SharedReader(folders.data))


def runs(history: RunHistory) -> Rows:
    return history.rows(HistoryQuery.RUNS, function="f", newest=5, now=NOW.isoformat())


def test_the_engine_answers_with_the_rows_that_the_lake_has(house: LakeFixture) -> None:
    house.put("runs", [RUN])
    house.commit()
    history = local(house.folders)
    with serve_rpc(house.folders.history, RunHistoryEndpoint(history).answer):
        assert runs(engine_history(house.folders)) == runs(history)
    assert runs(history)[0]["ts"] == NOW


def test_the_newest_cursor_of_a_function_is_found(house: LakeFixture) -> None:
    for seconds, cursor in enumerate(("1", "2", None)):
        created_at = NOW + timedelta(seconds=seconds)
        row = {"ts": created_at, "scenario": "healthy"}
        house.put("scenarios", [row], cursor=cursor, created_at=created_at)
    house.commit()
    later = NOW + timedelta(seconds=9)
    rows = cursor_as_of(house, later)
    assert rows == [{"cursor": "2"}]


def cursor_as_of(house: LakeFixture, now: datetime) -> Rows:
    return local(house.folders).rows(HistoryQuery.CURSOR, function="test", now=now.isoformat())


def test_what_was_written_while_the_clock_was_ahead_hides_nothing(house: LakeFixture) -> None:
    for hours, cursor in ((2, "ahead"), (0, "present")):
        at = NOW + timedelta(hours=hours)
        house.put("runs", [RUN | {"run_id": cursor, "ts": at}], cursor=cursor, created_at=at)
    house.commit()
    assert [run["run_id"] for run in runs(local(house.folders))] == ["present", "ahead"]
    assert cursor_as_of(house, NOW) == [{"cursor": "present"}]
    assert cursor_as_of(house, NOW + timedelta(hours=2)) == [{"cursor": "ahead"}]


def test_without_a_lake_there_are_no_earlier_runs(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    with serve_rpc(folders.history, RunHistoryEndpoint(local(folders)).answer):
        assert runs(engine_history(folders)) == []


def test_a_query_waits_for_an_engine_that_starts(house: LakeFixture) -> None:
    answers: list[Rows] = []
    thread = threading.Thread(target=lambda: answers.append(runs(engine_history(house.folders))))
    thread.start()
    with serve_rpc(house.folders.history, RunHistoryEndpoint(local(house.folders)).answer):
        thread.join(WITHIN_S)
    assert answers == [[]]


def test_without_an_engine_a_reader_is_open_for_one_query(house: LakeFixture) -> None:
    house.put("runs", [RUN])
    house.commit()
    reader = SharedReader(house.folders.data)
    fallback = LocalRunHistory(reader, keep_open=False)
    history = EngineRunHistory(house.folders, fallback, engine_starts_within_s=0)
    assert [run["run_id"] for run in runs(history)] == ["1"]
    assert reader._current is None


def test_after_one_wait_in_vain_the_next_query_does_not_wait(tmp_path: Path) -> None:
    history = EngineRunHistory(Folders.at(tmp_path).create(), engine_starts_within_s=1)
    assert runs(history) == []
    began = time.monotonic()
    assert runs(history) == []
    assert time.monotonic() - began < 1


def test_an_unreadable_lake_is_reported_and_not_asked_again_at_once(tmp_path: Path) -> None:
    folders, away = Folders.at(tmp_path).create(), AwayHistory()
    history = engine_history(folders)
    with serve_rpc(folders.history, RunHistoryEndpoint(away).answer):
        for _ in range(3):
            with pytest.raises(LakeUnreadable, match="no runs: repair it"):
                runs(history)
    assert away.queries == 1


def test_an_engine_that_fails_inside_is_replaced_by_a_local_read(house: LakeFixture) -> None:
    house.put("runs", [RUN])
    house.commit()

    def fail(_question: bytes) -> tuple[int, bytes]:
        raise ZeroDivisionError

    with serve_rpc(house.folders.history, fail):
        assert len(runs(EngineRunHistory(house.folders))) == 1


@pytest.mark.parametrize("question", [b"", b"{", b'{"query":"all","parameters":{}}'])
def test_a_question_that_is_none_of_ours_is_refused(question: bytes) -> None:
    assert RunHistoryEndpoint(NoFallback()).answer(question)[0] == 400


def over_rpc(folders: Folders) -> Rows:
    with serve_rpc(folders.history, RunHistoryEndpoint(local(folders)).answer):
        return runs(engine_history(folders))


@pytest.mark.parametrize("ask", [lambda folders: runs(local(folders)), over_rpc])
def test_a_damaged_catalog_is_an_unreadable_lake(
    tmp_path: Path, ask: Callable[[Folders], Rows]
) -> None:
    folders = Folders.at(tmp_path).create()
    folders.catalog.write_bytes(b"no database" * 100)
    for _ in range(2):
        with pytest.raises(LakeUnreadable, match="cannot be attached"):
            ask(folders)


def test_a_process_that_only_starts_children_does_not_load_the_database_engine() -> None:
    code = "import sys, functions.__main__; sys.exit('duckdb' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
