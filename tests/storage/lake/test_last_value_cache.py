from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from storage.lake.dedup import NewestTimes
from storage.lake.last_value_cache import LastValueCache
from storage.lake.last_values import read_last_values
from storage.model.schema import table
from tests.conftest import NOW, LakeFixture

HOUR = timedelta(hours=1)


def sample(server: str, hours_ago: float = 0, memory: float = 50.0) -> dict[str, Any]:
    return {"server": server, "ts": NOW - hours_ago * HOUR, "mem_used_pct": memory}


def rows(*samples: dict[str, Any]) -> pa.Table:
    """Samples as validation returns them: every column nullable."""
    metrics = pa.Table.from_pylist(list(samples), table("metrics").arrow)
    return pa.Table.from_arrays(metrics.columns, names=metrics.column_names)


@pytest.fixture
def cache(house: LakeFixture) -> LastValueCache:
    house.put("metrics", [sample("a"), sample("b", 5), sample("b", 6), sample("old", 40)])
    house.commit()
    connection = house.writer._connection
    return LastValueCache(connection, NewestTimes(connection, table("metrics")))


def written(house: LakeFixture, cache: LastValueCache) -> dict[str, float]:
    cache.write()
    values = read_last_values(house.folders)
    assert values is not None
    pairs = zip(values.rows["server"].to_pylist(), values.rows["ts"].to_pylist(), strict=True)
    return {server: (NOW - ts) / HOUR for server, ts in pairs}


def test_a_new_cache_has_the_newest_sample_of_each_server_of_the_last_day(
    house: LakeFixture, cache: LastValueCache
) -> None:
    assert written(house, cache) == {"a": 0, "b": 5}


def test_only_newer_samples_replace_those_of_the_cache(
    house: LakeFixture, cache: LastValueCache
) -> None:
    cache.add(rows(sample("a", 3), sample("b", 1), sample("b", 2), sample("c", 4)))
    assert written(house, cache) == {"a": 0, "b": 1, "c": 4}


def test_a_row_that_was_completed_replaces_the_one_before(
    house: LakeFixture, cache: LastValueCache
) -> None:
    cache.add(rows(sample("a", 0, 50.0) | {"load_average": 2.0}))
    cache.write()
    values = read_last_values(house.folders)
    assert values is not None
    row = values.rows.filter(pa.compute.equal(values.rows["server"], "a")).to_pylist()[0]
    assert (row["mem_used_pct"], row["load_average"]) == (50, 2)


def test_a_server_without_a_sample_for_more_than_a_day_leaves_the_cache(
    house: LakeFixture, cache: LastValueCache
) -> None:
    cache.add(rows(sample("a", -22)))
    assert written(house, cache) == {"a": -22}


def test_an_erased_server_leaves_the_cache(house: LakeFixture, cache: LastValueCache) -> None:
    cache.forget(["a"])
    assert written(house, cache) == {"b": 5}
    cache.forget(["b"])
    cache.write()
    assert not house.folders.last_values.exists()


def test_a_file_that_cannot_be_written_is_not_an_error(
    house: LakeFixture, cache: LastValueCache
) -> None:
    cache.write()
    before = house.folders.last_values.read_bytes()
    house.folders.last_values.with_suffix(".partial").mkdir()
    cache.add(rows(sample("a", -1)))
    cache.write()
    assert house.folders.last_values.read_bytes() == before
