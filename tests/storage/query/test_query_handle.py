from concurrent.futures import Future

import pyarrow as pa
import pytest

from storage.query import query_handle
from storage.query.query_handle import QueryHandle
from storage.query.reader import QueryFailed
from tests.conftest import NOW, LakeFixture

MANY = "(SELECT range AS x FROM range(1_000_000))"
FOR_HOURS = f"SELECT sum(sin(a.x) * cos(b.x)) AS s FROM {MANY} AS a, {MANY} AS b"


def test_the_rows_are_those_of_the_query(house: LakeFixture) -> None:
    house.put("scenarios", [{"ts": NOW, "scenario": "healthy"}])
    house.commit()
    with house.reader.start("SELECT * FROM scenarios WHERE ts = $now", now=NOW) as running:
        assert running.rows()["scenario"].to_pylist() == ["healthy"]


def test_a_query_that_fails_raises_where_the_rows_are_read(house: LakeFixture) -> None:
    running = house.reader.start("SELECT nope FROM metrics")
    with running, pytest.raises(QueryFailed, match="nope"):
        running.rows()


def test_leaving_the_context_ends_the_query_and_not_the_reader(house: LakeFixture) -> None:
    with house.reader.start(FOR_HOURS) as running, pytest.raises(TimeoutError):
        running.rows(timeout_s=0.05)
    with pytest.raises(QueryFailed, match="Interrupted"):
        running.rows()
    assert house.one("SELECT 1") == 1


def test_a_running_query_reports_its_progress(house: LakeFixture) -> None:
    with house.reader.start("SELECT 1") as running:
        running.rows()
        assert running.progress is None or 0 <= running.progress <= 1


def test_a_handle_whose_start_was_interrupted_has_nothing_to_end() -> None:
    handle = QueryHandle.__new__(QueryHandle)  # as a Ctrl-C leaves it before __init__ has begun
    handle.__del__()


def test_a_thread_that_starts_late_runs_nothing_once_its_query_is_cancelled() -> None:
    future: Future[pa.Table] = Future()
    future.cancel()
    query_handle._run(lambda: pytest.fail("the query ran"), future)
    assert future.cancelled()
