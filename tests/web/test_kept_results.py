"""Kept results: computed again after a commit to their tables, and never for another time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from storage.query.reader import Reader
from tests.web.site_lakes import SiteLakeWriter
from web.kept_results import MAX_ENTRIES, KeptResults

TAKEN = ["server_facts"]


@pytest.fixture
def reader(lake: SiteLakeWriter) -> Iterator[Reader]:
    reader = Reader.open(lake.folders.data)
    yield reader
    reader.close()


def read(
    kept: KeptResults, reader: Reader, calls: Iterator[int], back: timedelta = timedelta()
) -> int:
    with reader.pinned() as pinned:
        now = datetime.now(UTC) - back
        return kept.read(pinned, "n", TAKEN, now, lambda: next(calls))


def test_a_result_is_kept_until_its_table_changes(lake: SiteLakeWriter, reader: Reader) -> None:
    kept, calls = KeptResults(), count()
    first = read(kept, reader, calls)
    lake.insert("metrics", [{"server": "a", "ts": datetime.now(UTC)}])
    # A new 5-minute step may begin between two calls: then one more is computed.
    assert read(kept, reader, calls) - first <= 1
    again = read(kept, reader, calls)
    lake.insert("server_facts", [{"server": "a", "ts": datetime.now(UTC)}])
    assert read(kept, reader, calls) > again


def test_results_of_another_time_are_not_kept(reader: Reader) -> None:
    kept, calls = KeptResults(), count()
    assert [read(kept, reader, calls, timedelta(minutes=1)) for _ in range(3)] == [0, 1, 2]
    assert read(kept, reader, calls) == 3


def test_another_lake_has_other_results(reader: Reader) -> None:
    kept, calls = KeptResults(), count()
    read(kept, reader, calls)
    kept.clear()
    assert read(kept, reader, calls) >= 1


def test_a_shared_result_is_that_of_its_version() -> None:
    kept, calls = KeptResults(), count()
    shared = [kept.shared("page", version, lambda: next(calls)) for version in (1, 1, 2)]
    assert shared == [0, 0, 1]


def test_any_number_of_names_takes_bounded_memory() -> None:
    kept = KeptResults()
    for name in range(3 * MAX_ENTRIES):
        kept.shared(str(name), 1, lambda: None)
    assert len(kept._entries) <= MAX_ENTRIES
