"""One function by its schedule, over HTTP, from the command line and from Python."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from litestar.testing import TestClient

import hoursight
from functions.engine.executors.subprocess_executor import SubprocessExecutor, WorkerFactory
from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function_catalog import FunctionCatalog
from functions.engine.function_endpoint import FunctionEndpoint
from functions.engine.listeners import CommitListener, WakeEvent
from functions.engine.runner import Runner
from functions.engine.schedule import Schedule
from functions.engine.scheduler import SchedulerLoop
from functions.engine.user_code import UserCode
from storage.config.settings import Settings
from storage.inbox.segment import provenance_of
from storage.ipc.rpc import serve_rpc
from tests.conftest import NOW, LakeFixture
from tests.functions.engine.engine_scenes import Watched, in_background, save
from web.app import create_app

AT = "2026-05-06T12:00:30Z"
CENSUS = """
@function(on=(every("1m"), request("count")), writes="server_facts")
def census(window, now):
    seen = window.sql("SELECT server, count(*)::INT AS cores FROM metrics WHERE ts <= $now "
                      "GROUP BY server ORDER BY server", now=now)
    return seen.append_column("ts", pa.array([now] * seen.num_rows, pa.timestamp("us", "UTC")))
"""
CLAIMS = (("census", "server_facts"), ("risk", "risks"))

Way = Callable[[LakeFixture, str], dict[str, Any] | None]


def by_schedule(house: LakeFixture, name: str) -> None:
    runner = Watched(house.folders, clock=lambda: NOW)
    if name == "census":
        path = house.folders.functions / "census.py"
        source = CodeSource(path=str(path), text=path.read_bytes())
        executor = SubprocessExecutor(WorkerFactory(house.folders, Settings()), source).load()
        schedule = Schedule(executor.functions[0], executor)
    else:
        schedule = Schedule(FunctionCatalog(house.folders, Settings()).find(name).function)
    with in_background(
        SchedulerLoop(runner, [schedule], WakeEvent()).keep_going, threading.Event()
    ):
        runner.until_run(name)
    if schedule.executor:
        schedule.executor.close()  # type: ignore[attr-defined]


def over_http(house: LakeFixture, name: str) -> dict[str, Any]:
    stop = threading.Event()
    runner = Runner(house.folders, Settings(), clock=lambda: NOW)
    worker_factory = WorkerFactory(house.folders, Settings())
    users = UserCode(runner, worker_factory, CommitListener(house.folders, stop))
    users.refresh()
    with (
        serve_rpc(house.folders.rpc_socket, FunctionEndpoint(runner, worker_factory, users).answer),
        TestClient(create_app(house.folders.data), "http://127.0.0.1") as client,
    ):
        answer = client.post(f"/api/v1/functions/{name}?now={AT}")
    stop.set()
    for source_worker in users.source_workers.values():
        source_worker.stop()
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["rows"])


def by_command(house: LakeFixture, name: str) -> None:
    with pytest.raises(SystemExit) as left:
        hoursight.main(["call", name, "--now", AT, "--data", str(house.folders.data)])
    assert left.value.code == 0


def from_python(house: LakeFixture, name: str) -> dict[str, Any]:
    rows = hoursight.call(house.folders.data, name, NOW)
    return {table: msgspec.to_builtins(each.to_pylist()) for table, each in rows.items()}


@pytest.fixture
def filled(house: LakeFixture) -> LakeFixture:
    save(house.folders, "census", CENSUS)
    for minutes in range(30):
        ts = NOW - timedelta(minutes=minutes)
        samples = [{"server": s, "ts": ts, "mem_used_pct": 90.0} for s in ("a", "b")]
        house.put("metrics", samples[: 1 + minutes % 2])
    house.commit()
    return house


def written(inbox: Path, function: str, table: str) -> pa.Table:
    """The rows of the one segment that a run has left; then it is gone."""
    mine = [p for p in inbox.glob(f"*-{table}-*.parquet") if provenance_of(p).function == function]
    rows = pq.read_table(mine[0]).replace_schema_metadata()
    for path in inbox.glob("*.parquet"):
        path.unlink()
    return rows


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("name", "table"), CLAIMS)
def test_each_way_brings_the_same_rows(filled: LakeFixture, name: str, table: str) -> None:
    ways: tuple[Way, ...] = (by_schedule, over_http, by_command, from_python)
    result = []
    for way in ways:
        answered = way(filled, name)
        rows = written(filled.folders.inbox, name, table)
        result.append(rows)
        if answered is not None:
            names = list(answered[table][0])
            assert answered[table] == msgspec.to_builtins(rows.select(names).to_pylist())
    assert result[0].num_rows == 2
    for rows in result[1:]:
        assert rows.equals(result[0])


@pytest.mark.timeout(120)
def test_http_tells_what_went_wrong(filled: LakeFixture) -> None:
    save(filled.folders, "bad", '@function(on=request(), writes="metrics")\ndef bad(): 1 / 0\n')
    runner = Runner(filled.folders, Settings())
    worker_factory, stop = WorkerFactory(filled.folders, Settings()), threading.Event()
    users = UserCode(runner, worker_factory, CommitListener(filled.folders, stop))
    users.refresh()
    with TestClient(create_app(filled.folders.data), "http://127.0.0.1") as client:

        def post(path: str, **sent: Any) -> tuple[int, str]:
            answer = client.post(f"/api/v1/functions/{path}", **sent)
            return answer.status_code, answer.text

        assert post("census")[0] == 503
        with serve_rpc(
            filled.folders.rpc_socket, FunctionEndpoint(runner, worker_factory, users).answer
        ):
            status, text = post("bad")
            assert (status, "ZeroDivisionError" in text) == (500, True)
            status, text = post("nobody")
            assert (status, "there are alert, " in text and "audit, bad, breach" in text) == (
                404,
                True,
            )
            assert post("census?now=2026-05-06T12:00:30")[0] == 400
            assert post("census", content="{")[0] == 400
            assert post("census", headers={"Origin": "http://elsewhere.example"})[0] == 403
            status, text = post(f"count?dry_run=true&now={AT}")  # by the path of its request
            assert (status, '"server_facts":2' in text) == (200, True)
    stop.set()
    for source_worker in users.source_workers.values():
        source_worker.stop()
