from datetime import timedelta

import pyarrow as pa
import pytest

from storage.model.table_definition import TIMESTAMP, Column, Table, retention_text, sql_type

COLUMNS = (Column("server", pa.string(), "host", required=True), Column("ts", TIMESTAMP, "time"))


@pytest.mark.parametrize(
    ("arrow", "sql"),
    [
        (pa.float32(), "FLOAT"),
        (TIMESTAMP, "TIMESTAMPTZ"),
        (pa.list_(pa.float32()), "FLOAT[]"),
        (
            pa.list_(pa.struct([pa.field("a", pa.string()), pa.field("b", pa.int64())])),
            'STRUCT("a" VARCHAR, "b" BIGINT)[]',
        ),
    ],
)
def test_arrow_types_have_their_name_in_sql(arrow: pa.DataType, sql: str) -> None:
    assert sql_type(arrow) == sql


def test_a_type_that_no_table_uses_is_an_error() -> None:
    with pytest.raises(KeyError):
        sql_type(pa.date32())


@pytest.mark.parametrize(
    ("retention", "text"),
    [(None, "always"), (timedelta(days=7), "7d"), (timedelta(hours=36), "36h")],
)
def test_a_retention_is_written_as_in_the_settings(retention: timedelta | None, text: str) -> None:
    assert retention_text(retention) == text


def test_a_table_with_a_retention_is_partitioned_by_day_and_sorted_by_its_key() -> None:
    ddl = list(Table("t", "test", timedelta(days=7), COLUMNS, key=("server", "ts")).ddl())
    assert ddl == [
        'CREATE TABLE t ("server" VARCHAR, "ts" TIMESTAMPTZ)',
        "ALTER TABLE t SET PARTITIONED BY (year(ts), month(ts), day(ts))",
        "ALTER TABLE t SET SORTED BY (server, ts)",
    ]


def test_a_table_without_a_key_is_sorted_by_time() -> None:
    ddl = list(Table("t", "test", None, COLUMNS, by_day=False).ddl())
    assert ddl[1:] == ["ALTER TABLE t SET SORTED BY (ts)"]


def test_required_columns_are_not_nullable() -> None:
    schema = Table("t", "test", None, COLUMNS).arrow
    assert [field.nullable for field in schema] == [False, True]
