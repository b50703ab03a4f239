from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from storage.lake.renaming import new_names, rename_invalid
from storage.model.names import MAX_LENGTH, is_name
from storage.model.schema import table
from tests.conftest import NOW, LakeFixture


def store(house: LakeFixture, name: str, *rows: dict[str, Any]) -> None:
    """Write rows past validation, as an earlier release did."""
    connection, began = house.writer._connection, datetime.now(UTC)
    arrow = pa.Table.from_pylist(list(rows), table(name).arrow)
    connection.transaction(lambda: connection.append(table(name), arrow, began))


def test_only_invalid_names_are_replaced() -> None:
    assert new_names(["web-1", " web-2", "a\x00b"]) == {" web-2": "web-2", "a\x00b": r"a\x00b"}


def test_a_new_name_never_meets_another_servers_name() -> None:
    names = new_names(["web", " web", "web ", "\tweb"])
    assert len(set(names.values())) == 3
    assert "web" not in names.values()
    assert all(name.startswith("web~") for name in names.values() if name)


@pytest.mark.parametrize("old", ["", "   ", "\x00" * 300, "x" * 1_000, "\u202e", "a\u200bb"])
def test_every_new_name_is_valid(old: str) -> None:
    new = new_names([old])[old]
    assert is_name(new)
    assert new is not None
    assert len(new) <= MAX_LENGTH


def test_a_server_is_renamed_in_every_table_and_keeps_its_rows(
    house: LakeFixture, caplog: pytest.LogCaptureFixture
) -> None:
    store(house, "server_facts", {"server": "a\x00b", "ts": NOW, "profile": "database"})
    store(house, "metrics", {"server": "a\x00b", "ts": NOW, "load_average": 2.0})
    assert rename_invalid(house.writer._connection) == {"a\x00b": r"a\x00b"}
    for name in ("server_facts", "metrics"):
        rows = house.reader.query(f"SELECT server FROM {name}")
        assert rows["server"].to_pylist() == [r"a\x00b"]
    assert r"server 'a\x00b' renamed to 'a\\x00b'" in caplog.text


def test_a_blank_site_becomes_null_and_an_invalid_profile_is_spelled_out(
    house: LakeFixture,
) -> None:
    store(house, "server_facts", {"server": "a", "ts": NOW, "site": "  ", "profile": "x\x07"})
    assert rename_invalid(house.writer._connection) == {}
    row = house.reader.query("SELECT site, profile FROM server_facts").to_pylist()
    assert row == [{"site": None, "profile": r"x\x07"}]


def test_a_lake_of_valid_names_is_left_as_it_is(house: LakeFixture) -> None:
    store(house, "server_facts", {"server": "a", "ts": NOW, "site": "Zürich"})
    before = house.reader.snapshot()
    assert rename_invalid(house.writer._connection) == {}
    assert house.reader.snapshot() == before
