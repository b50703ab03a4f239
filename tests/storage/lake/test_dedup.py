from datetime import timedelta
from typing import Any

import pyarrow as pa

from storage.inbox.commit_batch import Spans, spans
from storage.inbox.segment import Provenance
from storage.lake.dedup import CommittedBatches, NewestTimes
from storage.lake.transaction import WriteConnection
from storage.lake.writer import Writer
from storage.model.schema import table
from tests.conftest import NOW, LakeFixture


def sample(server: str, seconds: int) -> dict[str, Any]:
    return {"server": server, "ts": NOW + timedelta(seconds=seconds), "load_average": 1.0}


def rows(*samples: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(samples), table("metrics").arrow)


def spans_of(*samples: dict[str, Any]) -> Spans:
    return spans(rows(*samples))


def writer_of(house: LakeFixture) -> WriteConnection:
    return house.writer._connection


def provenance(batch_id: str, days_ago: float) -> Provenance:
    when = NOW - timedelta(days=days_ago)
    return Provenance(table="metrics", function="t", created_at=when, batch_id=batch_id)


def test_a_batch_is_known_after_a_restart(house: LakeFixture) -> None:
    path = house.put("processes", [{"process": "web", "ts": NOW, "event": "started"}])
    copy = path.read_bytes()
    house.commit()
    house.writer.close()
    house.writer = Writer.open(house.folders.data)
    path.write_bytes(copy)
    assert house.commit().repeated == 1


def test_a_batch_older_than_the_cache_is_looked_up_in_the_lake(house: LakeFixture) -> None:
    then = NOW - timedelta(days=9)
    house.put("scenarios", [{"ts": then, "scenario": "healthy"}], batch_id="old", created_at=then)
    house.commit(then)
    house.put("scenarios", [{"ts": NOW, "scenario": "mixed"}], batch_id="new")
    house.commit(NOW)
    batches = CommittedBatches(writer_of(house))
    assert batches.known([provenance("old", 9), provenance("new", 0)]) == {"old", "new"}
    assert batches.known([provenance("never", 9), provenance("either", 0)]) == set()


def test_a_sample_is_new_only_when_it_is_later_than_its_servers_last(house: LakeFixture) -> None:
    house.put("metrics", [sample("a", 0), sample("b", 10)])
    house.commit(NOW + timedelta(seconds=10))
    newest = NewestTimes(writer_of(house), table("metrics"))
    assert newest.all_later(spans_of(sample("a", 5), sample("b", 15)))
    assert not newest.all_later(spans_of(sample("a", 5), sample("b", 10)))
    assert newest.all_later(spans_of(sample("unheard of", 5)))


def test_a_server_stale_for_long_may_have_samples_that_are_not_cached(
    house: LakeFixture,
) -> None:
    house.put("metrics", [sample("a", -100_000), sample("b", 0)])
    house.commit()
    newest = NewestTimes(writer_of(house), table("metrics"))
    assert not newest.all_later(spans_of(sample("a", 0)))
    assert newest.all_later(spans_of(sample("b", 5)))


def test_a_late_repetition_is_dropped_between_newer_samples(house: LakeFixture) -> None:
    for batch in ([sample("a", 0)], [sample("a", 5)], [sample("a", 0), sample("a", 10)]):
        house.put("metrics", batch)
        house.commit(NOW + timedelta(seconds=10))
    assert house.one("SELECT count(*) FROM metrics") == 3
