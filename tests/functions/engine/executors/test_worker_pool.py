import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from functions.engine.executors.subprocess_executor import SubprocessExecutor, WorkerFactory
from functions.engine.executors.worker_pool import MAX_WORKERS, WorkerPool
from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function_endpoint import FunctionEndpoint
from functions.engine.listeners import CommitListener
from functions.engine.user_code import UserCode
from storage.config.folders import Folders
from storage.config.settings import Settings
from tests.conftest import LakeFixture
from tests.functions.engine.engine_scenes import Watched, save

MEET = """
from pathlib import Path
@function(on=request(), writes="server_facts", deadline="20s")
def meet(body, now):
    Path(body["mine"]).touch()
    while not Path(body["other"]).exists():
        time.sleep(0.01)
    return facts(now)
"""


@pytest.fixture
def pool(folders: Folders) -> WorkerPool:
    return WorkerPool(
        SubprocessExecutor(
            WorkerFactory(folders, Settings()), CodeSource(module="nothing.loads.it")
        )
    )


@pytest.fixture
def folders(house: LakeFixture) -> Folders:
    return house.folders


def test_two_requests_to_one_function_run_side_by_side(folders: Folders) -> None:
    save(folders, "meet", MEET)
    runner, stop = Watched(folders), threading.Event()
    worker_factory, news = WorkerFactory(folders, Settings()), CommitListener(folders, stop)
    users = UserCode(runner, worker_factory, news)
    users.refresh()
    endpoint = FunctionEndpoint(runner, worker_factory, users)

    def ask(mine: str, other: str) -> int:
        paths = {"mine": str(folders.data / mine), "other": str(folders.data / other)}
        question = {"name": "meet", "body": paths, "dry_run": True}
        return endpoint.answer(msgspec.json.encode(question))[0]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, ("a", "b"), ("b", "a"))) == [200, 200]
    stop.set()
    for source_worker in users.source_workers.values():
        source_worker.stop()


def test_a_pool_has_its_source_worker_first_and_keeps_one_spare(pool: WorkerPool) -> None:
    with pool.one() as first, pool.one() as second, pool.one() as third:
        assert len({id(first), id(second), id(third)}) == 3
    with pool.one() as again, pool.one() as spare:
        assert again is first
        assert spare in (second, third)


def test_no_more_are_busy_than_may_be(pool: WorkerPool) -> None:
    opened = [pool.one() for _ in range(MAX_WORKERS)]
    for each in opened:
        each.__enter__()
    waiting = threading.Thread(target=lambda: pool.one().__enter__(), daemon=True)
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    opened[0].__exit__(None, None, None)
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_closed_pool_keeps_nobody(pool: WorkerPool) -> None:
    with pool.one(), pool.one() as spare:
        pool.close()
    with pool.one(), pool.one() as other:
        assert other is not spare
