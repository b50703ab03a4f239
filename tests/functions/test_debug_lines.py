"""Debug lines at the borders of functions: workers, runs, pushes and pages."""

import logging
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from functions.connectors.connector import Page
from functions.engine.executors.subprocess_executor import SubprocessExecutor, WorkerFactory
from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function import Batch, function
from functions.engine.runner import Runner
from functions.engine.triggers import request
from functions.ingest.ingest_service import IngestService
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.ipc.push_protocol import Push
from tests.conftest import NOW
from tests.functions.connectors.test_incremental_read import read_of
from tests.functions.engine.engine_scenes import HEAD

MINE = (
    HEAD
    + """
@function(on=request(), writes="server_facts")
def good(now): return facts(now)
"""
)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path).create()


def matching(log: pytest.LogCaptureFixture, pattern: str) -> list[str]:
    return [message for message in log.messages if re.search(pattern, message)]


def test_a_worker_logs_its_start_load_calls_and_end(
    folders: Folders, log: pytest.LogCaptureFixture
) -> None:
    source = CodeSource(path=str(folders.data / "mine.py"), text=MINE.encode())
    executor = SubprocessExecutor(WorkerFactory(folders, Settings()), source).load()
    Runner(folders, Settings()).run(executor.functions[0], "test", NOW, executor=executor)
    executor.close()
    assert matching(log, r"worker \d+ started")
    assert matching(log, "worker of mine loaded: good")
    assert matching(log, r"call 1 of good answered after [\d.]+ ms: ok$")
    assert matching(log, r"worker \d+ was killed by signal 9")


def test_a_run_says_what_it_was_for_and_how_it_ended(
    folders: Folders, log: pytest.LogCaptureFixture
) -> None:
    def failing(now: datetime) -> Batch:
        raise ValueError(f"not at {now}")

    failing_one = function(on=request(), writes="server_facts")(failing)
    Runner(folders, Settings()).run(failing_one, "test", NOW)
    assert matching(log, r"run of failing as of 2026-05-06 12:00:30\+00:00 \(test\)")
    assert matching(log, r"failing failed after \d+ ms: 0 rows in, 0 out")


def test_a_push_says_what_was_taken_and_what_refused(
    folders: Folders, log: pytest.LogCaptureFixture
) -> None:
    service = IngestService(folders, clock=lambda: NOW)
    good = [{"server": "a", "timestamp": NOW.timestamp(), "cpu_user_pct": 1.0}]
    service.handle(Push("records", msgspec.json.encode(good), "identity", {}).packed())
    service.handle(Push("records", b"{", "identity", {}).packed())
    assert matching(log, r"records: 200 after [\d.]+ ms, \d+ bytes, response .*\"accepted\":1")
    assert matching(log, r"records refused, 422: the body is not JSON")


def test_a_page_says_how_much_it_brought_and_where_it_goes_on(
    log: pytest.LogCaptureFixture,
) -> None:
    class Source:
        def pages(self, position: Any, now: datetime) -> Iterator[Page]:  # noqa: ARG002
            yield Page([{"host": "a", "at": NOW, "cpu": 1.0}], "p1")

        def close(self) -> None:
            pass

    read_of(Source()).run(NOW, None)  # type: ignore[arg-type]
    assert matching(log, "connected$")
    assert matching(log, r"page of 1 documents, 0 refused, newest row so far .*, position p1")
