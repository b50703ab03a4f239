"""A reader that threads share: replaced when it must be, and closed when nobody uses it."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from storage.errors import LakeMissing, QueryFailed
from storage.query.reader import Reader
from storage.query.shared_reader import SharedReader
from tests.conftest import LakeFixture

WITHIN_S = 30.0


def is_closed(reader: Reader) -> bool:
    try:
        reader.query("SELECT 1")
    except (QueryFailed, duckdb.Error):
        return True
    return False


def test_threads_get_one_reader(house: LakeFixture) -> None:
    shared = SharedReader(house.folders.data)
    with shared.use() as one, shared.use() as other:
        assert one is other
    shared.close()
    assert is_closed(one)


def test_a_replaced_reader_closes_after_its_last_user(house: LakeFixture) -> None:
    shared = SharedReader(house.folders.data)
    begun, replaced = threading.Event(), threading.Event()

    def work() -> tuple[Reader, int]:
        with shared.use() as reader, reader.pinned() as pinned:
            pinned.query("SELECT 1")
            begun.set()
            assert replaced.wait(WITHIN_S)
            return reader, pinned.query("FROM metrics").num_rows

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        assert begun.wait(WITHIN_S)
        with pytest.raises(QueryFailed), shared.use() as failing:
            failing.query("SELECT nope")
        with shared.use() as fresh:
            assert fresh is not failing
        replaced.set()
        old, rows = working.result(WITHIN_S)
    assert old is failing
    assert rows == 0
    assert is_closed(old)
    assert not is_closed(fresh)
    shared.close()


def test_a_replaced_lake_is_read_by_a_new_reader(
    house: LakeFixture,
) -> None:
    shared, catalog = SharedReader(house.folders.data), house.folders.catalog
    with shared.use() as old:
        pass
    copy = catalog.with_suffix(".copy")
    copy.write_bytes(catalog.read_bytes())
    copy.replace(catalog)  # as a restore does
    with shared.use() as fresh:
        assert fresh is not old
        assert is_closed(old)
    shared.close()


def test_a_reader_that_does_not_pass_its_check_is_closed(house: LakeFixture) -> None:
    seen: list[Reader] = []

    def refuse(reader: Reader) -> None:
        seen.append(reader)
        raise LakeMissing(house.folders.data)

    shared = SharedReader(house.folders.data, refuse)
    with pytest.raises(LakeMissing), shared.use():
        pass
    assert is_closed(seen[0])


def test_a_lake_that_is_created_later_is_found(tmp_path: Path, empty_lake: Path) -> None:
    shared = SharedReader(tmp_path)
    with pytest.raises(LakeMissing), shared.use():
        pass
    shutil.copytree(empty_lake, tmp_path, dirs_exist_ok=True)
    with shared.use() as reader:
        assert reader.query("FROM metrics").num_rows == 0
    shared.close()
