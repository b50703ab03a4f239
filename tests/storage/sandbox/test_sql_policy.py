"""What SQL of strangers may name, and what its plan may contain."""

import duckdb
import pytest

from storage.query.read_only import TABLE_FUNCTIONS, StatementRefused
from storage.sandbox.sql_policy import DENIED, FILE_NAME, POLICY, verify_plan


@pytest.mark.parametrize(
    "sql", ["SELECT 1", "FROM range(3)", "SELECT sum(a) FROM (VALUES (1)) t(a)"]
)
def test_a_plan_that_only_computes_passes(sql: str) -> None:
    with duckdb.connect() as connection:
        verify_plan(connection, sql)


@pytest.mark.parametrize(
    "sql",
    ["FROM read_text('/etc/hostname')", "FROM glob('/*')", "FROM duckdb_settings()",
     "SELECT 1 FROM range(1) WHERE EXISTS (FROM read_csv('{csv}'))", "FROM '{csv}'"],
)  # fmt: skip
def test_a_plan_that_reads_something_else_is_refused(sql: str, tmp_path_factory: object) -> None:
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    csv = tmp_path_factory.mktemp("plan") / "a.csv"
    csv.write_text("a,b\n1,2\n")
    with duckdb.connect() as connection, pytest.raises(StatementRefused, match="of its plan"):
        verify_plan(connection, sql.replace("{csv}", str(csv)))


@pytest.mark.parametrize(
    "name",
    ["DUCKLAKE_SCAN", "DUCKLAKE_SNAPSHOTS", "DUCKLAKE_TABLE_CHANGES", "SEQ_SCAN", "RANGE",
     "HASH_JOIN", "COLUMN_DATA_SCAN", "DUCKDB_VIEWS", "UNNEST", "WINDOW", "PROJECTION"],
)  # fmt: skip
def test_steps_over_the_lake_pass(name: str) -> None:
    assert not DENIED.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    ["DUCKLAKE_CLEANUP_OLD_FILES", "DUCKLAKE_EXPIRE_SNAPSHOTS", "READ_BLOB", "PARQUET_SCAN",
     "POSTGRES_QUERY", "QUERY_TABLE", "SQLITE_SCAN", "COPY_TO_FILE", "BATCH_INSERT", "GLOB"],
)  # fmt: skip
def test_steps_that_write_or_reach_outside_do_not(name: str) -> None:
    assert DENIED.fullmatch(name)


def test_no_table_function_of_the_policy_reads_files() -> None:
    assert POLICY.table_functions <= TABLE_FUNCTIONS
    assert not any(
        name.startswith(("read_", "parquet_", "sniff", "glob")) for name in POLICY.table_functions
    )


@pytest.mark.parametrize("name", ["a.csv", "a/b", "x.json.gz", "c.sqlite"])
def test_a_name_in_from_can_be_a_file(name: str) -> None:
    assert FILE_NAME.search(name)


@pytest.mark.parametrize("name", ["metrics", "web-07.shop", "12:00", "*"])
def test_other_names_are_none(name: str) -> None:
    assert not FILE_NAME.search(name)
