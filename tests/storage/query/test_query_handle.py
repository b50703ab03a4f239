import pytest

from storage.query.reader import QueryFailed
from tests.conftest import NOW, LakeFixture

MANY = "(SELECT range AS x FROM range(1_000_000))"
FOR_HOURS = f"SELECT sum(sin(a.x) * cos(b.x)) AS s FROM {MANY} AS a, {MANY} AS b"


def test_its_rows_are_those_of_the_query(house: LakeFixture) -> None:
    house.put("scenarios", [{"ts": NOW, "scenario": "healthy"}])
    house.commit()
    with house.reader.start("SELECT * FROM scenarios WHERE ts = $now", now=NOW) as running:
        assert running.rows()["scenario"].to_pylist() == ["healthy"]


def test_what_cannot_run_is_told_to_who_asks_for_the_rows(house: LakeFixture) -> None:
    running = house.reader.start("SELECT nope FROM metrics")
    with running, pytest.raises(QueryFailed, match="nope"):
        running.rows()


def test_leaving_ends_the_query_and_the_reader_goes_on(house: LakeFixture) -> None:
    with house.reader.start(FOR_HOURS) as running, pytest.raises(TimeoutError):
        running.rows(timeout_s=0.05)
    with pytest.raises(QueryFailed, match="Interrupted"):
        running.rows()
    assert house.one("SELECT 1") == 1


def test_it_tells_how_far_it_is(house: LakeFixture) -> None:
    with house.reader.start("SELECT 1") as running:
        running.rows()
        assert running.progress is None or 0 <= running.progress <= 1
