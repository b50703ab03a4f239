"""What SQL of strangers may name, and what its plan may contain once DuckDB has bound it.

The names are checked first, because DuckDB runs some functions while it binds them. The plan is
what DuckDB makes of the names: it also shows what a file's name in FROM, or a view, turned into.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from storage.query.read_only import ReadPolicy, StatementRefused

__all__ = ["PLAN_PREFIX", "POLICY", "verify_plan"]

REMEDY = "the SQL page reads the tables of the lake; 'hoursight sql' can do more on its machine"
TABLE_FUNCTIONS = frozenset({
    "generate_series", "range", "repeat", "repeat_row", "unnest", "json_each", "json_tree",
    "ducklake_current_snapshot", "ducklake_last_committed_snapshot", "ducklake_snapshots",
    "ducklake_table_changes", "ducklake_table_deletions", "ducklake_table_info",
    "ducklake_table_insertions",
    "duckdb_columns", "duckdb_constraints", "duckdb_functions", "duckdb_keywords", "duckdb_memory",
    "duckdb_schemas", "duckdb_tables", "duckdb_types", "duckdb_views",
    "icu_calendar_names", "pg_timezone_names", "pragma_collations", "pragma_table_info",
    "pragma_version", "test_all_types",
})  # fmt: skip
# A name in FROM that is a file to DuckDB.
FILE_NAME = re.compile(
    r"[/\\]|\.(csv|tsv|txt|json|ndjson|jsonl|parquet|arrow|ipc|avro|xlsx|db|ddb|duckdb|sqlite3?)"
    r"(\.(gz|zst|bz2))?$"
)
POLICY = ReadPolicy(
    TABLE_FUNCTIONS, FILE_NAME, "files cannot be read here, only tables of the lake", REMEDY
)

# In a bound plan: functions and scans that read something else than the lake, or change it.
DENIED = re.compile(
    r"READ_\w+|\w*(CSV|JSON|PARQUET|TEXT|BLOB)\w*_SCAN|GLOB|SNIFF_\w+|PARQUET_\w+"
    r"|QUERY|QUERY_TABLE|POSTGRES_\w+|SQLITE_\w+|MYSQL_\w+|PANDAS_\w+|ARROW_SCAN\w*|PYTHON_\w+"
    r"|DUCKLAKE_(?!SCAN|SNAPSHOTS|CURRENT_SNAPSHOT|LAST_COMMITTED_SNAPSHOT|TABLE_INFO"
    r"|TABLE_(CHANGES|DELETIONS|INSERTIONS))\w+"
    r"|DUCKDB_(SETTINGS|SECRETS|EXTENSIONS|LOGS|TEMPORARY_FILES|DATABASES)\w*"
    r"|(BATCH_)?COPY_\w+|(BATCH_)?INSERT|UPDATE|DELETE|CREATE_\w+|ATTACH|DETACH|DROP|ALTER|PRAGMA"
)
PLAN_PREFIX = "EXPLAIN (FORMAT json) "


def verify_plan(connection: duckdb.DuckDBPyConnection, select: str) -> None:
    """Raise StatementRefused if the plan of a SELECT contains what is not to be run.

    Raises duckdb.Error where the SELECT cannot be bound.
    """
    rows = connection.execute(PLAN_PREFIX + select).fetchall()
    try:
        plan = json.loads(rows[-1][1])
    except RecursionError:
        raise StatementRefused(
            "this statement", "its plan is nested too deeply to be checked", REMEDY
        ) from None
    for name in _steps(plan):
        if DENIED.fullmatch(name):
            raise StatementRefused(f"the step {name} of its plan", POLICY.read_instead, REMEDY)


def _steps(plan: Any) -> Iterator[str]:
    """The names of all steps and of their table functions, in capitals."""
    pending = list(plan) if isinstance(plan, list) else [plan]
    while pending:
        step = pending.pop()
        yield str(step.get("name", "")).strip().upper()
        function = step.get("extra_info", {}).get("Function")
        if function:
            yield str(function).strip().upper()
        pending.extend(step.get("children", ()))
