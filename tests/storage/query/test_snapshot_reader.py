"""One snapshot for all queries, and no lock between them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from storage.errors import QueryFailed
from storage.lake.attach import merge_lock
from storage.query.snapshot_reader import SnapshotReader
from tests.conftest import NOW, LakeFixture

COUNT = "SELECT count(*) AS n FROM scenarios"


def commit(house: LakeFixture, second: int) -> None:
    house.put("scenarios", [{"ts": NOW + timedelta(seconds=second), "scenario": "healthy"}])
    house.commit()


def count(reader: SnapshotReader) -> int:
    return int(reader.query(COUNT)["n"][0].as_py())


def test_a_commit_after_the_first_query_is_not_seen(house: LakeFixture) -> None:
    with SnapshotReader(house.reader) as reader:
        assert count(reader) == 0
        commit(house, 1)
        assert count(reader) == 0
        assert reader.snapshot() == house.reader.snapshot() - 1
    assert house.one(COUNT) == 1


def test_no_lock_is_taken_between_queries(house: LakeFixture) -> None:
    with SnapshotReader(house.reader) as reader:
        count(reader)
        with merge_lock(house.folders, patience_s=0):
            pass
        commit(house, 1)
        count(reader)
        with merge_lock(house.folders, patience_s=0):
            pass


def test_threads_share_the_snapshot(house: LakeFixture) -> None:
    with SnapshotReader(house.reader) as reader, ThreadPoolExecutor(4) as pool:
        reader.snapshot()
        commit(house, 1)
        assert list(pool.map(lambda _: count(reader), range(8))) == 8 * [0]


def test_rows_read_before_and_after_a_commit_are_counted(house: LakeFixture) -> None:
    with SnapshotReader(house.reader) as reader:
        reader.query("FROM range(3)")
        commit(house, 1)
        reader.query("FROM range(4)")
        assert reader.rows_read == 7


def test_a_query_of_an_expired_snapshot_names_the_limit(house: LakeFixture) -> None:
    with SnapshotReader(house.reader) as reader:
        reader.snapshot()
        commit(house, 1)
        expire = "CALL ducklake_expire_snapshots('lake', older_than => $since)"
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        house.writer._connection.run(expire, since=tomorrow).fetchall()
        with pytest.raises(QueryFailed, match=r"has expired: read all .* within 15 minutes"):
            count(reader)


def test_its_end_leaves_the_source_open(house: LakeFixture) -> None:
    with SnapshotReader(house.reader) as reader:
        reader.snapshot()
        commit(house, 1)
        count(reader)
    assert house.one(COUNT) == 1
