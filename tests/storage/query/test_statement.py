from collections.abc import Iterator

import duckdb
import pytest

from storage.query.statement import NotOneRead, names_of


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def test_functions_table_functions_and_tables_are_told_apart(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    names = names_of(connection, "SELECT Max(ts), abs(a) FROM Metrics, range(3) WHERE lower(b)='x'")
    assert {"max", "abs", "lower"} <= names.functions
    assert names.table_functions == {"range"}
    assert names.tables == {"metrics"}


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (FROM glob('*')) FROM a",
        "SELECT (SELECT count(*) FROM glob('*'))",
        "FROM metrics UNION ALL BY NAME FROM glob('*')",
        "EXPLAIN ANALYZE FROM glob('*')",
        "EXPLAIN (FORMAT json) FROM glob('*');",
    ],
)
def test_a_table_function_is_found_wherever_it_stands(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> None:
    assert "glob" in names_of(connection, sql).table_functions


def test_a_pivot_gives_all_words_that_may_be_names(connection: duckdb.DuckDBPyConnection) -> None:
    names = names_of(connection, "PIVOT (FROM glob('*')) ON file USING count(*)")
    assert {"glob", "count"} <= names.either
    assert "pivot" not in names.either


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("SELECT 1; SELECT 2", "text of 2 statements"),
        ("", "text of 0 statements"),
        ("DROP TABLE metrics", "DROP statement"),
        ("COPY metrics TO 'x'", "COPY statement"),
        ("EXPLAIN DELETE FROM metrics", "EXPLAIN of another statement"),
    ],
)
def test_anything_but_one_read_is_refused(
    connection: duckdb.DuckDBPyConnection, sql: str, what: str
) -> None:
    with pytest.raises(NotOneRead) as error:
        names_of(connection, sql)
    assert error.value.what == what


def test_invalid_sql_raises_the_parsers_error(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.ParserException):
        names_of(connection, "SELEC 1")


def test_a_quote_in_a_literal_does_not_end_the_statement(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert names_of(connection, "SELECT upper('it''s; DROP')").functions == {"upper"}
