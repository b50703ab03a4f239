"""The catalog held open, so that no reader waits for its last connection to close."""

from pathlib import Path

import pytest

from storage.lake.catalog_holder import hold_catalog_open
from tests.conftest import NOW, LakeFixture


def commit(house: LakeFixture, server: str) -> Path:
    house.put("metrics", [{"server": server, "ts": NOW, "load_average": 1}])
    house.commit()
    return house.folders.data / "catalog.sqlite-wal"


def test_no_close_is_the_last_while_the_catalog_is_held_open(house: LakeFixture) -> None:
    assert not commit(house, "a").exists()
    with hold_catalog_open(house.folders):
        assert commit(house, "b").exists()
        assert house.one("SELECT count(*) FROM metrics") == 2
    assert not commit(house, "c").exists()
    assert house.one("SELECT count(*) FROM metrics") == 3


def test_the_catalog_is_released_when_the_writer_fails(house: LakeFixture) -> None:
    with pytest.raises(RuntimeError), hold_catalog_open(house.folders):
        raise RuntimeError
    assert not commit(house, "a").exists()
