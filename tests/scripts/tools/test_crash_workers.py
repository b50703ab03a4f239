from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.tools.crash_workers import AT_ANY_TIME, Workers, workers
from tests.conftest import LakeFixture


@pytest.fixture(scope="module")
def processes() -> Iterator[Workers]:
    with workers() as processes:
        yield processes


def job(data: Path, work: str, **more: Any) -> dict[str, Any]:
    return {"work": work, "data": str(data), "server": None, "point": None, "time": 1, **more}


def test_a_job_returns_the_numbers_of_what_it_wrote(house: LakeFixture, processes: Workers) -> None:
    done = processes.run(job(house.folders.data, "write", numbers=[3, 4]), None)
    assert (done.written, done.killed) == ((3, 4), False)
    # A pair for each number, and the second half of the rows of number 0.
    assert len(list(house.folders.inbox.glob("*.parquet"))) == 5


def test_a_job_that_is_killed_at_a_failpoint_returns_what_came_before(
    house: LakeFixture, processes: Workers
) -> None:
    point = {"point": "segment renamed", "time": 3}  # the first segment of the second pair
    done = processes.run(job(house.folders.data, "write", numbers=[0, 1], **point), None)
    assert (done.written, done.killed) == ((0,), True)


def test_a_job_may_be_killed_by_time(house: LakeFixture, processes: Workers) -> None:
    many = job(house.folders.data, "write", numbers=list(range(5000)), point=AT_ANY_TIME)
    assert processes.run(many, 0.05).killed


def test_a_job_commits_all_that_waits(house: LakeFixture, processes: Workers) -> None:
    house.writer.close()
    processes.run(job(house.folders.data, "write", numbers=[0]), None)
    processes.run(job(house.folders.data, "commit"), None)
    assert list(house.folders.inbox.glob("*.parquet")) == []
    assert house.one("SELECT count(*) FROM metrics") == 40


def test_a_job_that_fails_is_an_error(house: LakeFixture, processes: Workers) -> None:
    with pytest.raises(
        RuntimeError, match="failed: ended 1"
    ):  # the writer of the test has the lock
        processes.run(job(house.folders.data, "commit"), None)
