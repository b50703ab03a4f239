"""DuckDB's errors: message and place."""

import duckdb
import pytest

from storage.sandbox.engine_errors import located, shifted


def error_of(sql: str, as_json: bool) -> str:
    with duckdb.connect() as connection:
        connection.execute(f"SET errors_as_json = {as_json}")
        with pytest.raises(duckdb.Error) as caught:
            connection.execute(sql)
    return str(caught.value)


@pytest.mark.parametrize("sql", ["SELECT 1 +\n  'ä' nope nope", "selec 1"])
def test_a_syntax_error_has_the_same_place_in_both_forms(sql: str) -> None:
    _, quoted = located(error_of(sql, as_json=False), sql)
    _, stated = located(error_of(sql, as_json=True), sql)
    assert quoted == stated is not None


def test_the_place_is_a_character_and_not_a_byte() -> None:
    sql = "SELECT 'äöü', nope"
    message, at = located(error_of(sql, as_json=True), sql)
    assert at == sql.index("nope")
    assert message.startswith('Referenced column "nope" was not found')


def test_a_place_moves_with_the_text_before_it() -> None:
    text = shifted(error_of("SELECT nope", as_json=True), 10)
    assert located(text, " " * 10 + "SELECT nope")[1] == 17


def test_a_long_message_is_cut() -> None:
    message, at = located("Parser Error: " + "x" * 10_000, "SELECT 1")
    assert len(message) < 700
    assert at is None
