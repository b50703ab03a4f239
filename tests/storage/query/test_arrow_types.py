from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from storage.errors import QueryFailed
from storage.query.arrow_types import unheld_columns, with_text
from storage.query.reader import Reader
from tests.conftest import LakeFixture

LARGEST = 2**128 - 1


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def as_arrow(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    text = with_text(connection, sql, connection.execute(sql).description)
    rows: list[dict[str, Any]] = connection.execute(text).to_arrow_table().to_pylist()
    return rows


def test_only_types_that_arrow_does_not_hold_are_named(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    sql = "SELECT 1 AS a, '1'::BIT AS b, [1::UHUGEINT] AS c, {'e': [1::BIGNUM]} AS d, now() AS f"
    assert list(unheld_columns(connection.execute(sql).description)) == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (f"{LARGEST}::UHUGEINT", str(LARGEST)),
        ("'0101'::BIT", "0101"),
        ("'12:00:00+02:00'::TIMETZ", "12:00:00+02"),
        ("{'a': 1}::VARIANT", '{"a":1}'),
        (f"[{LARGEST}::UHUGEINT, NULL]", [str(LARGEST), None]),
        ("['1'::BIT]::BIT[1]", ["1"]),
        ("MAP {1: '1'::BIT}", [(1, "1")]),
        ("{'a \"b\"': '1'::BIT, 'c': 2}", {'a "b"': "1", "c": 2}),
        ("union_value(a := '1'::BIT)", "1"),
    ],
)
def test_they_are_text_also_within_others(
    connection: duckdb.DuckDBPyConnection, value: str, held: Any
) -> None:
    assert as_arrow(connection, f"SELECT {value} AS x") == [{"x": held}]


def test_order_comments_and_names_of_the_columns_stay(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    sql = """SELECT '1'::BIT AS "a ""b", i AS "$c" FROM range(3) t(i) ORDER BY i DESC -- last;"""
    rows = as_arrow(connection, sql)
    assert [list(row.values()) for row in rows] == [["1", 2], ["1", 1], ["1", 0]]
    assert list(rows[0]) == ['a "b', "$c"]


def test_sql_that_cannot_be_part_of_another_query_is_refused_with_the_remedy(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    sql = "SELECT '1'::BIT AS flags; -- done"
    description = connection.execute(sql).description
    with pytest.raises(QueryFailed, match=r"column 'flags' has type BIT.*::VARCHAR"):
        with_text(connection, sql, description)


def test_a_reader_hands_out_no_wrong_number(house: LakeFixture) -> None:
    assert house.one("SELECT $x::UHUGEINT AS x", x=LARGEST) == str(LARGEST)


def test_a_statement_that_may_write_is_not_run_twice(house: LakeFixture) -> None:
    reader = Reader.open(house.folders.data, unrestricted=True)
    with pytest.raises(QueryFailed, match="column 'x' has type BIT, which Arrow cannot hold"):
        reader.query("SELECT '1'::BIT AS x")
    reader.close()
