"""The limits that docs/sql.md names are those of the sandbox."""

from pathlib import Path

import pytest

from storage.sandbox.__main__ import MEMORY_BYTES
from storage.sandbox.caged_lake import ENGINE_MEMORY
from storage.sandbox.sql_policy import POLICY
from web import query_runner as runner

TEXT = " ".join((Path(__file__).parents[1] / "docs" / "sql.md").read_text().split())


@pytest.mark.parametrize(
    "limit",
    [
        f"| time of a query | {runner.DEADLINE_S:g} s |",
        f"| {runner.PAGE_ROWS:,}, and {runner.PAGE_BYTES >> 20} MiB |",
        f"| {runner.FILE_ROWS:,}, and {runner.FILE_BYTES >> 20} MiB |",
        f"| {runner.MAX_QUERY:,} characters | 413 |",
        f"{ENGINE_MEMORY[:-2]} MB by DuckDB; {MEMORY_BYTES >> 20} MiB more",
        f"{runner.MAX_RUNNING}; {runner.MAX_WAITING} wait, for {runner.MAX_WAIT_S:g} s",
    ],
)
def test_a_limit_of_the_sandbox_that_is_named_is_that_of_the_code(limit: str) -> None:
    assert limit in TEXT


def test_all_functions_of_ducklake_that_remain_are_named() -> None:
    remain = [name for name in POLICY.table_functions if name.startswith("ducklake_")]
    assert all(f"`{name}`" in TEXT for name in remain)
