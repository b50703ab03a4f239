"""Classification of DuckDB's errors by their text, because they have no error code."""

import re

import duckdb

__all__ = [
    "concerns_disk", "is_damage", "is_file_damage", "is_missing_lake", "is_server_unreachable",
    "is_transient", "named_file", "server_reason",
]  # fmt: skip

NO_LAKE = "creating a new DuckLake is explicitly disabled"
# A merge replaced a file between planning and reading; or the catalog's server went away in the
# middle of a transaction.
TRANSIENT = re.compile(r"No such file|transaction is aborted")
SERVER_UNREACHABLE = re.compile(
    r"unable to connect|connection to server|server closed|no connection|terminating connection|"
    r"could not (connect|receive|send)|database system is",
    re.IGNORECASE,
)
DAMAGE = re.compile(r"file is not a database|disk image is malformed")
# What DuckDB says of Parquet files that are missing, unreadable, truncated or damaged (1.5.5).
FILE_DAMAGE = re.compile(
    r"\.parquet|TProtocolException|[Pp]arquet|don't know what type|Decompression failure|"
    r"Invalid unicode|corrupt|(?:Out of|out of) buffer|Invalid Input Error: Failed to read"
)
LAKE_FILE = re.compile(r"[\"']([^\"']+\.parquet)[\"']")


def is_missing_lake(error: duckdb.Error) -> bool:
    """Return True if a read-only ATTACH failed because the catalog has no lake."""
    return NO_LAKE in str(error)


def is_transient(error: duckdb.Error) -> bool:
    """Return True if the same query is expected to succeed when it is repeated at once."""
    return bool(TRANSIENT.search(str(error)))


def is_server_unreachable(error: Exception) -> bool:
    """Return True if the catalog's PostgreSQL server is unreachable or closed the connection."""
    return bool(SERVER_UNREACHABLE.search(str(error)))


def server_reason(error: Exception) -> str | None:
    """The reason that the PostgreSQL server gave; None if it gave none."""
    reason = str(error).rpartition("FATAL:")[2].strip().partition("\n")[0]
    return None if "Unable" in reason or "Error" in reason else reason


def is_damage(error: duckdb.Error) -> bool:
    """Return True if the file of a SQLite catalog is damaged."""
    return bool(DAMAGE.search(str(error)))


def concerns_disk(error: duckdb.Error) -> bool:
    """Return True if the disk may be the cause; readers also write, to SQLite's WAL index."""
    return "disk" in str(error)


def is_file_damage(error: Exception) -> bool:
    """Return True if a Parquet file may be missing, unreadable, truncated or damaged."""
    return bool(FILE_DAMAGE.search(str(error)))


def named_file(error: Exception) -> str | None:
    """The path of the Parquet file that an error names; None if it names none."""
    match = LAKE_FILE.search(str(error))
    return match[1] if match else None
