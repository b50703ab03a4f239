from datetime import timedelta

import pytest

from scripts.tools.soak import Observations, SampleCounts, count_samples
from tests.conftest import NOW, LakeFixture

ALL = [(server, step) for server in "ab" for step in range(4)]


def counts_of(house: LakeFixture, came: list[tuple[str, int]]) -> SampleCounts:
    """The counts of two servers of which these samples came."""
    house.put("metrics", [
        {"server": server, "ts": NOW + timedelta(seconds=5 * step), "load_average": 1.0}
        for server, step in came
    ])  # fmt: skip
    house.commit(NOW + timedelta(minutes=1))
    return count_samples(house.reader, servers=2)


@pytest.mark.parametrize("gone", [[], [("a", 1)], [("a", 2), ("b", 2)]])
def test_each_sample_that_is_missing_is_counted_as_lost(
    house: LakeFixture, gone: list[tuple[str, int]]
) -> None:
    counts = counts_of(house, [each for each in ALL if each not in gone])
    assert (counts.expected, counts.lost, counts.doubled) == (8, len(gone), 0)


def test_a_sample_that_is_there_twice_is_counted() -> None:
    assert SampleCounts(expected=8, rows=9, distinct_rows=8, refused=0).doubled == 1


@pytest.mark.parametrize(
    ("backlog", "flat"), [([2, 0, 3] * 20, True), (list(range(60)), False), ([], True)]
)
def test_a_backlog_is_flat_when_it_ends_as_it_began(backlog: list[int], flat: bool) -> None:
    assert Observations(backlog=backlog).flat is flat


@pytest.mark.parametrize(
    ("sizes", "growing"),
    [
        ([200.0] * 390, []),
        ([100.0] * 300 + [200.0] * 90, []),
        ([200.0] * 300 + [200.0 + n for n in range(90)], ["writer: 214 MB, then 274 MB"]),
    ],
)
def test_memory_that_grows_is_named_with_its_process(
    sizes: list[float], growing: list[str]
) -> None:
    assert Observations(rss_mb={"writer": sizes}).growing == growing
