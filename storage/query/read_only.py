"""Read-only SQL: which statements a reader runs, and the engine settings that prevent the rest.

A lake that is attached READ_ONLY still lets a SELECT call a function that deletes its files, and a
COPY write one. Therefore each statement is parsed before it runs: every function in it, and in the
views that it reads, must be known to compute or read only.
"""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import duckdb

from storage.errors import QueryFailed
from storage.query.statement import NotOneRead, StatementNames, names_of

__all__ = [
    "ReadPolicy", "StatementCheck", "StatementRefused", "computing", "confine",
]  # fmt: skip

REMEDY = "to run it anyway, use 'hoursight sql --unrestricted' or connect(…, unrestricted=True)"

# Local files can be read, but no network, no extension and no variable of the Python program.
CONFINED = (
    "SET allowed_directories = ['/']; SET enable_external_access = false; "
    "SET python_enable_replacements = false; SET autoload_known_extensions = false; "
    "SET autoinstall_known_extensions = false"
)

# Functions that return a value and have no side effects.
COMPUTING = """
SELECT function_name FROM duckdb_functions()
WHERE internal AND database_name = 'system' AND function_type IN ('scalar', 'aggregate', 'macro')
GROUP BY function_name
HAVING NOT bool_or(coalesce(has_side_effects, false))
"""
# The engine lists these as having side effects because two calls differ.
HARMLESS = frozenset({
    "current_connection_id", "current_query", "current_query_id", "current_transaction_id", "error",
    "gen_random_uuid", "random", "stats", "uuid", "uuidv4", "uuidv7",
})  # fmt: skip
# Takes a statement as text, which is not checked.
PLANNING = frozenset({"json_serialize_plan"})
# Functions to the parser that the catalog does not list.
SYNTAX = frozenset({"grouping", "grouping_id", "unnest"})
TABLE_FUNCTIONS = frozenset({
    "generate_series", "range", "repeat", "repeat_row", "unnest", "json_each", "json_tree",
    "glob", "parquet_bloom_probe", "parquet_file_metadata", "parquet_full_metadata",
    "parquet_kv_metadata", "parquet_metadata", "parquet_scan", "parquet_schema", "read_blob",
    "read_csv", "read_csv_auto", "read_json", "read_json_auto", "read_json_objects",
    "read_json_objects_auto", "read_ndjson", "read_ndjson_auto", "read_ndjson_objects",
    "read_parquet", "read_text", "sniff_csv",
    "ducklake_current_snapshot", "ducklake_last_committed_snapshot", "ducklake_list_files",
    "ducklake_options", "ducklake_settings", "ducklake_snapshots", "ducklake_table_changes",
    "ducklake_table_deletions", "ducklake_table_info", "ducklake_table_insertions",
    "duckdb_columns", "duckdb_constraints", "duckdb_databases", "duckdb_dependencies",
    "duckdb_extensions", "duckdb_functions", "duckdb_indexes", "duckdb_keywords", "duckdb_memory",
    "duckdb_optimizers", "duckdb_schemas", "duckdb_sequences", "duckdb_settings", "duckdb_tables",
    "duckdb_temporary_files", "duckdb_types", "duckdb_variables", "duckdb_views",
    "icu_calendar_names", "pg_timezone_names", "pragma_collations", "pragma_database_size",
    "pragma_platform", "pragma_table_info", "pragma_version", "test_all_types",
})  # fmt: skip
# A table macro of the same name reads a table whose name is given as text.
ALSO_TABLE_MACRO = frozenset({"histogram"})

# A database file may contain views, which are not checked.
DATABASE_FILE = re.compile(r"\.(db|ddb|duckdb)$")

# The SELECT of each view in the lake; NULL for a macro.
DEFINITIONS = """
SELECT lower(view_name) AS name, sql FROM __ducklake_metadata_lake.ducklake_view
WHERE end_snapshot IS NULL
UNION ALL
SELECT lower(macro_name), NULL FROM __ducklake_metadata_lake.ducklake_macro
WHERE end_snapshot IS NULL
"""
CACHED_STATEMENTS = 512


class StatementRefused(QueryFailed):
    """The SQL does more than read; the message says what was refused, why, and the remedy."""

    def __init__(self, what: str, why: str, remedy: str = REMEDY) -> None:
        super().__init__(f"{what} refused, SQL is read-only here: {why}; {remedy}")


def confine(connection: duckdb.DuckDBPyConnection) -> None:
    """Disable network, extensions and Python variables for this connection and its cursors."""
    connection.execute(CONFINED)


class StatementCheck:
    """Checks that statements only read; safe to share between threads.

    `connection` is a cursor of the lake's reader, outside of any transaction; it is closed with
    this object.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, policy: "ReadPolicy | None" = None
    ) -> None:
        self._connection = connection
        self._policy = policy or ReadPolicy()
        self._lock = threading.Lock()
        self._names: dict[str, StatementNames] = {}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def definitions(self) -> "Definitions":
        """The views and macros of the newest snapshot."""
        with self._lock:
            rows = self._connection.execute(DEFINITIONS).fetchall()
        return Definitions(
            {name: text for name, text in rows if text is not None},
            frozenset(name for name, text in rows if text is None),
        )

    def verify(self, sql: str, lake: "Definitions") -> None:
        """Raise StatementRefused unless `sql` is one statement that only reads.

        Raises duckdb.ParserException if it cannot be parsed.
        """
        pending, seen = [sql], set[str]()
        while pending:
            names = self._names_of(pending.pop())
            self._verify(names, lake.macros)
            views = (names.tables & lake.views.keys()) - seen
            seen |= views
            pending.extend(lake.views[name] for name in views)

    def _names_of(self, sql: str) -> StatementNames:
        with self._lock:
            names = self._names.get(sql)
            if names is None:
                if len(self._names) >= CACHED_STATEMENTS:
                    self._names.clear()
                names = self._names[sql] = self._parsed(sql)
        return names

    def _parsed(self, sql: str) -> StatementNames:
        try:
            return names_of(self._connection, sql)
        except NotOneRead as error:
            raise self._refused(error.what, error.expected) from error

    def _verify(self, names: StatementNames, macros: frozenset[str]) -> None:
        """Raise StatementRefused for a function or file that is not known to be read-only."""
        for name in (names.functions | names.table_functions | names.either) & macros:
            raise self._refused(f"the macro {name!r}", "macros of the lake are not checked")
        in_from = self._policy.table_functions
        for name in (
            (names.functions - computing())
            | (names.table_functions - in_from)
            | (names.either - ((computing() - ALSO_TABLE_MACRO) | in_from))
        ):
            raise self._refused(f"the function {name!r}", "it is not known to only read")
        for name in names.tables:
            if self._policy.unread.search(name):
                raise self._refused(repr(name), self._policy.read_instead)

    def _refused(self, what: str, why: str) -> StatementRefused:
        return StatementRefused(what, why, self._policy.remedy)


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """What statements may read: by default also local files of data.

    No table may have a name that `unread` matches; `read_instead` says what can be read. `remedy`
    ends each refusal.
    """

    table_functions: frozenset[str] = TABLE_FUNCTIONS
    unread: re.Pattern[str] = DATABASE_FILE
    read_instead: str = "only CSV, Parquet and JSON files can be read"
    remedy: str = REMEDY


@dataclass(frozen=True, slots=True)
class Definitions:
    """Definitions in the lake: the SELECT of each view by its name, and the names of macros."""

    views: Mapping[str, str]
    macros: frozenset[str]


@cache
def computing() -> frozenset[str]:
    """The functions of the engine that return a value and have no side effects."""
    with duckdb.connect() as connection:
        rows = connection.execute(COMPUTING).fetchall()
    return frozenset(name for (name,) in rows) - PLANNING | HARMLESS | SYNTAX
