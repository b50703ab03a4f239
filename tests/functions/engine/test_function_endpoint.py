"""Calls over the RPC socket: what is answered, and with which status."""

import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from functions.engine.call_queue import CallQueue
from functions.engine.executors.subprocess_executor import WorkerFactory
from functions.engine.function import Batch
from functions.engine.function_endpoint import MAX_ROWS, FunctionEndpoint, rows_as_json
from functions.engine.listeners import CommitListener
from functions.engine.runner import Runner
from functions.engine.user_code import UserCode
from storage.config.settings import Settings
from tests.conftest import NOW, LakeFixture
from tests.functions.engine.engine_scenes import save

FILE = """
@function(on=request("path"), writes="server_facts")
def mine(now, body): return facts(now, body["server"])
@function(on=request(), writes="server_facts", deadline="1s")
def slow(): time.sleep(60)
@function(on=request(), writes=())
def asked(body): return Batch(answer={"sent": body}, refused=1, reasons=("x",))
@function(on=request(), writes="server_facts")
def counter(cursor): return Batch(cursor=str(int(cursor or 0) + 1))
"""


@pytest.fixture
def endpoint(house: LakeFixture) -> Iterator[FunctionEndpoint]:
    save(house.folders, "file", FILE)
    stop, factory = threading.Event(), WorkerFactory(house.folders, Settings())
    runner = Runner(house.folders, Settings(), clock=lambda: NOW)
    users = UserCode(runner, factory, CommitListener(house.folders, stop))
    users.refresh()
    yield FunctionEndpoint(runner, factory, users)
    stop.set()
    for source_worker in users.source_workers.values():
        source_worker.stop()


def call(endpoint: FunctionEndpoint, name: str, **more: Any) -> tuple[int, dict[str, Any]]:
    status, body = endpoint.answer(msgspec.json.encode({"name": name, **more}))
    return status, msgspec.json.decode(body)


@pytest.mark.parametrize("name", ["mine", "path"])
def test_a_function_is_called_by_its_name_or_its_request_path(
    endpoint: FunctionEndpoint, name: str
) -> None:
    status, reply = call(endpoint, name, body={"server": "web-1"})
    assert (status, reply["function"], reply["outcome"]) == (200, "mine", "ok")
    assert reply["rows"]["server_facts"][0]["server"] == "web-1"
    assert reply["row_counts"] == {"server_facts": 1}


def test_a_failure_is_500_and_a_deadline_504_with_the_error(endpoint: FunctionEndpoint) -> None:
    status, reply = call(endpoint, "mine", body={})
    assert (status, "KeyError: 'server'" in reply["error"]) == (500, True)
    status, reply = call(endpoint, "slow")
    assert (status, "deadline of 1 s" in reply["error"]) == (504, True)


def test_a_function_that_only_answers_writes_nothing(
    endpoint: FunctionEndpoint, house: LakeFixture
) -> None:
    status, reply = call(endpoint, "asked", body=[1, None])
    assert (status, reply["answer"], reply["rows"]) == (200, {"sent": [1, None]}, {})
    assert (reply["refused"], reply["reasons"]) == (1, ["x"])
    assert not [path for path in house.folders.inbox.glob("*.parquet") if "asked" in path.name]


def test_an_unknown_function_is_404_with_those_that_exist(endpoint: FunctionEndpoint) -> None:
    status, reply = call(endpoint, "nobody")
    assert status == 404
    listed = reply["error"].partition("no function 'nobody'; there are ")[2].split(", ")
    assert {"counter", "forecast"} <= set(listed)
    assert listed == sorted(listed)


def test_a_call_without_a_turn_is_503_and_starts_nothing(endpoint: FunctionEndpoint) -> None:
    endpoint._queue = queue = CallQueue(1, 0, 0)
    with queue.turn():
        status, reply = call(endpoint, "mine", body={"server": "web-1"})
    assert (status, "1 calls of functions are running" in reply["error"]) == (503, True)
    assert call(endpoint, "mine", body={"server": "web-1"})[0] == 200


def test_a_time_without_a_zone_and_an_unknown_field_are_400(endpoint: FunctionEndpoint) -> None:
    assert call(endpoint, "mine", now="2026-05-06T12:00:00")[0] == 400
    status, reply = call(endpoint, "mine", when="now")
    assert (status, "when" in reply["error"]) == (400, True)


def test_a_function_of_ours_runs_in_this_process(endpoint: FunctionEndpoint) -> None:
    status, reply = call(endpoint, "rollup", dry_run=True)
    assert (status, reply["outcome"]) == (200, "nothing")


def test_calls_of_a_function_with_a_cursor_continue_one_another(endpoint: FunctionEndpoint) -> None:
    for _ in range(3):
        assert call(endpoint, "counter")[0] == 200
    assert endpoint._runner._cursors["counter"] == "3"


def test_a_reply_holds_no_more_than_the_most_rows() -> None:
    rows = pa.table({"n": range(MAX_ROWS + 1)})
    assert len(rows_as_json(Batch({"metrics": rows}))["metrics"]) == MAX_ROWS
