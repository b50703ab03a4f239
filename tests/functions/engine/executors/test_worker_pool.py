import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from functions.engine.executors.subprocess_executor import SubprocessExecutor, WorkerFactory
from functions.engine.executors.worker_pool import MOST, WorkerPool
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
def crew(folders: Folders) -> WorkerPool:
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
    nursery, news = WorkerFactory(folders, Settings()), CommitListener(folders, stop)
    users = UserCode(runner, nursery, news)
    users.look()
    door = FunctionEndpoint(runner, nursery, users)

    def ask(mine: str, other: str) -> int:
        paths = {"mine": str(folders.data / mine), "other": str(folders.data / other)}
        question = {"name": "meet", "body": paths, "dry_run": True}
        return door.answer(msgspec.json.encode(question))[0]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, ("a", "b"), ("b", "a"))) == [200, 200]
    stop.set()
    for resident in users.residents.values():
        resident.stop()


def test_a_crew_has_its_resident_first_and_keeps_one_spare(crew: WorkerPool) -> None:
    with crew.one() as first, crew.one() as second, crew.one() as third:
        assert len({id(first), id(second), id(third)}) == 3
    with crew.one() as again, crew.one() as spare:
        assert again is first
        assert spare in (second, third)


def test_no_more_are_busy_than_may_be(crew: WorkerPool) -> None:
    opened = [crew.one() for _ in range(MOST)]
    for each in opened:
        each.__enter__()
    waiting = threading.Thread(target=lambda: crew.one().__enter__(), daemon=True)
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    opened[0].__exit__(None, None, None)
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_closed_crew_keeps_nobody(crew: WorkerPool) -> None:
    with crew.one(), crew.one() as spare:
        crew.close()
    with crew.one(), crew.one() as other:
        assert other is not spare
