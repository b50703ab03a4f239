"""The bound of DuckDB's cache of files."""

from storage.query.file_cache import USED, FileCache
from tests.conftest import NOW, LakeFixture


def cached(house: LakeFixture) -> int:
    used: int = house.reader._connection.execute(USED).fetchall()[0][0]
    return used


def read(house: LakeFixture) -> None:
    assert house.one("SELECT sum(load_average) FROM metrics") == 1.0


def test_a_cache_beyond_the_limit_is_emptied_and_used_again(house: LakeFixture) -> None:
    house.put("metrics", [{"server": "a", "ts": NOW, "load_average": 1.0}])
    house.commit()
    read(house)
    assert cached(house) > 0
    FileCache(max_bytes=0, check_every_s=0).bound(house.reader._connection.cursor())
    assert cached(house) == 0
    read(house)
    assert cached(house) > 0


def test_a_cache_within_the_limit_stays(house: LakeFixture) -> None:
    house.put("metrics", [{"server": "a", "ts": NOW, "load_average": 1.0}])
    house.commit()
    read(house)
    before = cached(house)
    FileCache(check_every_s=0).bound(house.reader._connection.cursor())
    assert cached(house) == before > 0


def test_pinned_readers_share_the_bound_of_their_reader(house: LakeFixture) -> None:
    house.put("metrics", [{"server": "a", "ts": NOW, "load_average": 1.0}])
    house.commit()
    house.reader._file_cache = FileCache(max_bytes=0, check_every_s=0)
    with house.reader.pinned() as pinned:
        assert pinned.query("SELECT count(*) AS n FROM metrics")["n"].to_pylist() == [1]
    assert cached(house) == 0
