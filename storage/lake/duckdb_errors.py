"""DuckDB's errors, classified: the one place that reads their text, as they carry no code."""

import re

import duckdb

__all__ = [
    "concerns_disk", "is_damage", "is_missing_lake", "is_server_unreachable", "is_transient",
    "server_reason",
]  # fmt: skip

NO_LAKE = "creating a new DuckLake is explicitly disabled"
# A merge replaced a file between planning and reading, and the newer snapshot is whole; or the
# catalog's server went in the middle of a transaction.
TRANSIENT = re.compile(r"No such file|transaction is aborted")
SERVER_AWAY = re.compile(
    r"unable to connect|connection to server|server closed|no connection|terminating connection|"
    r"could not (connect|receive|send)|database system is",
    re.IGNORECASE,
)
DAMAGE = re.compile(r"file is not a database|disk image is malformed")


def is_missing_lake(error: duckdb.Error) -> bool:
    """Whether a read-only ATTACH met a catalog that holds no lake."""
    return NO_LAKE in str(error)


def is_transient(error: duckdb.Error) -> bool:
    """Whether the same query is expected to succeed when it is run again at once."""
    return bool(TRANSIENT.search(str(error)))


def is_server_unreachable(error: Exception) -> bool:
    """Whether the PostgreSQL server of a catalog could not be reached, or ended the connection."""
    return bool(SERVER_AWAY.search(str(error)))


def server_reason(error: Exception) -> str | None:
    """The reason that the PostgreSQL server gave itself; None when it gave none."""
    reason = str(error).rpartition("FATAL:")[2].strip().partition("\n")[0]
    return None if "Unable" in reason or "Error" in reason else reason


def is_damage(error: duckdb.Error) -> bool:
    """Whether the file of a SQLite catalog is damaged."""
    return bool(DAMAGE.search(str(error)))


def concerns_disk(error: duckdb.Error) -> bool:
    """Whether the disk may be the cause: also a reader writes SQLite's index of the WAL."""
    return "disk" in str(error)
