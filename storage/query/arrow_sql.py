"""SQL over Arrow tables in memory: results of the lake that were kept, filtered again."""

import threading
from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

__all__ = ["ArrowSql"]

_SETTINGS = (
    "SET TimeZone = 'UTC'; SET threads = 1; SET enable_external_access = false; "
    "SET python_enable_replacements = false"
)


class ArrowSql:
    """A database without rows of its own; safe to share between threads."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:")
        self._connection.execute(_SETTINGS)
        self._lock = threading.Lock()

    def query(
        self, sql: str, tables: Mapping[str, pa.Table], /, **parameters: Any
    ) -> pa.Table:  # fmt: skip
        """The result of one statement over `tables`; `$name` in it stands for a parameter.

        Raises duckdb.Error.
        """
        with self._lock:
            cursor = self._connection.cursor()
        try:
            for name, rows in tables.items():
                cursor.register(name, rows)
            return cursor.execute(sql, parameters or None).to_arrow_table()
        finally:
            cursor.close()
