from datetime import timedelta
from typing import Any

import pytest

from storage.lake.last_values import read_last_values
from storage.lake.writer import Writer
from tests.conftest import NOW, LakeFixture

HOUR = timedelta(hours=1)


def sample(server: str, hours_ago: float = 0, memory: float | None = 50.0) -> dict[str, Any]:
    when = NOW - hours_ago * HOUR
    return {"server": server, "ts": when, "mem_used_pct": memory, "load_average": 1.0}


def put(house: LakeFixture, *samples: dict[str, Any]) -> None:
    house.put("metrics", list(samples))
    house.commit()


def latest(house: LakeFixture, hours: float = 24, until_hours: float = 0) -> list[dict[str, Any]]:
    """The result of `latest`, which must be that of a query."""
    span = {"start": NOW - hours * HOUR, "stop": NOW - until_hours * HOUR}
    result: list[dict[str, Any]] = house.reader.latest(**span).to_pylist()
    assert result == house.reader.named("windows/readings", **span).to_pylist()
    return result


def cached(house: LakeFixture) -> set[str]:
    values = read_last_values(house.folders)
    assert values is not None
    assert values.snapshot == house.reader.snapshot()
    return set(values.rows["server"].to_pylist())


def test_the_last_samples_are_those_of_the_lake_after_each_commit(house: LakeFixture) -> None:
    put(house, sample("a", 2), sample("b", 3), sample("old", 30))
    put(house, sample("a", 1), sample("a", 1.5), sample("c", 30))
    put(house, sample("a", 2, 99), sample("a", 1, 99), sample("b", 0.5, None))
    assert cached(house) == {"a", "b"}
    assert [(r["server"], r["mem_used_pct"]) for r in latest(house)] == [("a", 50), ("b", None)]
    assert [r["server"] for r in latest(house, hours=0.7)] == ["b"]


@pytest.mark.parametrize("hours", [40, 24])
def test_what_the_cache_does_not_cover_is_read_from_the_lake(
    house: LakeFixture, hours: float
) -> None:
    put(house, sample("a"), sample("a", 5), sample("old", 30))
    assert latest(house, hours, until_hours=1)[0]["ts"] == NOW - 5 * HOUR
    assert len(latest(house, hours)) == (2 if hours == 40 else 1)


def test_a_cache_with_a_flipped_bit_is_not_used(house: LakeFixture) -> None:
    put(house, sample("a", 1))
    sound = house.folders.last_values.read_bytes()
    for share in range(0, 100, 7):
        content = bytearray(sound)
        content[len(content) * share // 100] ^= 1 << share % 8
        house.folders.last_values.write_bytes(content)
        assert read_last_values(house.folders) is None
    assert latest(house)[0]["mem_used_pct"] == 50


def test_a_cache_of_another_snapshot_is_not_used(house: LakeFixture) -> None:
    put(house, sample("a", 1))
    before = house.folders.last_values.read_bytes()
    with house.reader.pinned() as pinned:
        pinned.snapshot()  # what it sees is settled by its first query
        put(house, sample("a"))
        assert pinned.latest(NOW - HOUR, NOW)["ts"].to_pylist() == [NOW - HOUR]
    assert latest(house)[0]["ts"] == NOW
    for left_behind in (before, before[:100]):
        house.folders.last_values.write_bytes(left_behind)
        assert latest(house)[0]["ts"] == NOW


def test_the_cache_is_valid_after_a_merge(house: LakeFixture) -> None:
    put(house, sample("a", 1))
    put(house, sample("a"))
    house.writer.run_maintenance(NOW)
    assert cached(house) == {"a"}
    assert len(latest(house)) == 1


def test_a_starting_writer_caches_stale_servers_too(house: LakeFixture) -> None:
    put(house, sample("silent", 20), sample("a", 2))
    house.writer.close()
    house.writer = Writer.open(house.folders.data)
    put(house, sample("a"))
    assert cached(house) == {"a", "silent"}
    assert len(latest(house)) == 2


def test_an_erased_server_leaves_the_cache_with_the_commit(house: LakeFixture) -> None:
    put(house, sample("a"), sample("b"))
    house.put("deletions", [{"server": "a", "ts": NOW}])
    house.commit()
    assert cached(house) == {"b"}
    house.put("deletions", [{"server": "b", "ts": NOW}])
    house.commit()
    assert read_last_values(house.folders) is None
