"""SQL over Arrow tables: parameters, and nothing that stays between queries."""

import duckdb
import pyarrow as pa
import pytest

from storage.query.arrow_sql import ArrowSql

ROWS = pa.table({"a": [1, 2, 3]})


def test_a_statement_reads_the_tables_that_it_is_given() -> None:
    rows = ArrowSql().query("SELECT a FROM rows WHERE a > $least", {"rows": ROWS}, least=1)
    assert rows["a"].to_pylist() == [2, 3]


def test_tables_of_one_query_are_unknown_to_the_next() -> None:
    memory = ArrowSql()
    memory.query("SELECT a FROM rows", {"rows": ROWS})
    with pytest.raises(duckdb.CatalogException):
        memory.query("SELECT a FROM rows", {})
