from typing import Any

import pyarrow as pa
import pytest

from storage.inbox.segment import provenance_of
from storage.model.names import (
    InvalidName,
    check_name,
    check_names,
    is_name,
    server_name,
    trimmed,
)
from storage.model.schema import TABLES, table
from storage.platform.printable import printable
from tests.conftest import NOW, LakeFixture

HOSTILE = {
    "a NUL": "a\0b", "a line feed": "a\nb", "an escape": "a\x1b[31mb", "C1 control": "a\x85b",
    "right-to-left override": "a\u202eb", "isolate": "a\u2067b", "mark": "a\u200fb",
    "zero width": "a\u200bb", "no-break space": "a\u00a0b", "a line separator": "a\u2028b",
    "a lone surrogate": "a\udcffb", "too long": "a" * 254, "empty": "", "blank": " \t",
}  # fmt: skip
STORABLE = {what: name for what, name in HOSTILE.items() if what != "a lone surrogate"}
VALID = (
    "web-1",
    "a",
    "a" * 253,
    "Büro 7",
    "数据库",
    "db.example.com:9100",
    "a\\x00b",
    "😀",
    "l'hôte",
)


def sample(server: str | None, **fields: Any) -> dict[str, Any]:
    return {"server": server, "ts": NOW, "mem_used_pct": 50.0} | fields


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name_is_refused_with_field_value_expectation_and_remedy(name: str) -> None:
    with pytest.raises(InvalidName) as refusal:
        check_name("server", name)
    text = str(refusal.value)
    assert text.startswith("server '")
    assert "expected 1 to 253 printable characters): rename it" in text
    assert text.isprintable()


@pytest.mark.parametrize("name", VALID)
def test_a_printable_name_is_valid_and_trimmed(name: str) -> None:
    assert is_name(name)
    assert check_name("server", f" \t{name}\r\n") == name
    assert not is_name(f"{name} ")


def test_a_server_has_one_name_for_all_spellings_of_its_address() -> None:
    assert server_name(" 2001:DB8:0::5:1 ") == "2001:db8::5:1"
    assert (server_name("db1:5432"), server_name("a\0")) == ("db1:5432", None)
    columns = table("metrics").columns
    rows = pa.table({"server": ["2001:DB8::1", "[2001:db8::1]", "a"], "source": ["::0", "s", "s"]})
    assert check_names(rows, columns).rows.to_pydict() == {
        "server": ["2001:db8::1", "2001:db8::1", "a"], "source": ["::0", "s", "s"],
    }  # fmt: skip


@pytest.mark.parametrize("value", [None, 7, b"a", ["a"]])
def test_a_value_that_is_not_text_is_not_a_name(value: object) -> None:
    assert trimmed(value) is None


@pytest.mark.parametrize("name", [n for n in HOSTILE.values() if n.strip()])
def test_an_escaped_name_is_printable(name: str) -> None:
    assert printable(name).isprintable()


def test_every_column_that_names_a_server_site_profile_or_source_follows_the_rule() -> None:
    follows = {(t.name, c.name) for t in TABLES for c in t.columns if c.is_name}
    names = {"server", "site", "profile", "source", "name", "upstream", "downstream"}
    assert follows == {(t.name, c.name) for t in TABLES for c in t.columns if c.name in names}


def test_rows_with_invalid_names_are_left_out_and_the_others_trimmed() -> None:
    rows = pa.table({"server": [" a ", "b\0", "a", None, "b\0", "c\u202e"], "n": range(6)})
    checked = check_names(rows, table("metrics").columns)
    assert checked.rows.to_pydict() == {"server": ["a", "a", None], "n": [0, 2, 3]}
    assert checked.refused == 3
    assert checked.reasons[0].startswith("server 'b\\x00' and 1 more are not valid names (expected")


def test_a_blank_site_counts_as_missing() -> None:
    rows = pa.table({"server": ["a", "b"], "site": ["  ", " paris "]})
    checked = check_names(rows, table("server_facts").columns)
    assert checked.rows["site"].to_pylist() == [None, "paris"]
    assert checked.refused == 0


def row_of(table_name: str, column: str, name: str) -> dict[str, Any]:
    """A row of a table with every required column, and `name` in `column`."""
    row = {
        c.name: NOW if pa.types.is_timestamp(c.type) else 1 if pa.types.is_integer(c.type) else "x"
        for c in table(table_name).columns if c.required
    }  # fmt: skip
    return row | ({"mem_used_pct": 1.0} if table_name == "metrics" else {}) | {column: name}


@pytest.mark.parametrize(
    ("table_name", "column"),
    [(t.name, c.name) for t in TABLES for c in t.columns if c.is_name and c.required],
)
def test_no_table_takes_a_hostile_name(house: LakeFixture, table_name: str, column: str) -> None:
    names = {}
    for what, name in STORABLE.items():
        path = house.put(table_name, [row_of(table_name, column, name)])
        names[provenance_of(path).batch_id] = what
    house.commit()
    ledger = house.reader.query("SELECT batch_id, rows_refused, refusals FROM segments").to_pylist()
    refused = {names[row["batch_id"]]: (row["rows_refused"], row["refusals"][0]) for row in ledger}
    assert refused.keys() == STORABLE.keys()
    for what, (rows, reason) in refused.items():
        assert rows == 1, what
        assert f"{column} '" in reason, what
        assert "not a valid name" in reason, what


@pytest.mark.parametrize(
    ("table_name", "column"),
    [("server_facts", "site"), ("server_facts", "profile"), ("metrics", "source")],
)
def test_a_row_with_a_hostile_site_profile_or_source_is_refused_and_the_next_goes_on(
    house: LakeFixture, table_name: str, column: str
) -> None:
    bad, good = row_of(table_name, column, "a\0b"), row_of(table_name, column, "fine")
    house.put(table_name, [bad, good | {"server": "y"}])
    house.commit()
    rows = house.reader.query(f"SELECT server, {column} FROM {table_name}").to_pylist()
    assert rows == [{"server": "y", column: "fine"}]


def test_a_name_with_white_space_around_it_is_the_same_server(house: LakeFixture) -> None:
    house.put("metrics", [sample("a")])
    house.put("metrics", [sample(" a\t"), sample("b")])
    house.commit()
    rows = house.reader.query("SELECT server FROM metrics ORDER BY server")["server"].to_pylist()
    assert rows == ["a", "b"]
