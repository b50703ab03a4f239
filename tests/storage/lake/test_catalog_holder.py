"""The catalog held open, so that no reader waits for its last connection to close."""

from pathlib import Path

import pytest

from storage.lake.catalog_holder import held_open
from tests.conftest import NOW, House


def commit(house: House, server: str) -> Path:
    house.put("metrics", [{"server": server, "ts": NOW, "load_average": 1}])
    house.commit()
    return house.folders.data / "catalog.sqlite-wal"


def test_no_close_is_the_last_while_the_catalog_is_held_open(house: House) -> None:
    assert not commit(house, "a").exists()
    with held_open(house.folders):
        assert commit(house, "b").exists()
        assert house.one("SELECT count(*) FROM metrics") == 2
    assert not commit(house, "c").exists()
    assert house.one("SELECT count(*) FROM metrics") == 3


def test_it_is_let_go_when_the_keeper_fails(house: House) -> None:
    with pytest.raises(RuntimeError), held_open(house.folders):
        raise RuntimeError
    assert not commit(house, "a").exists()
